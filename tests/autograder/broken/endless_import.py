"""Never ends being imported.

Expect: was stopped|no time left
"""

while True:
    pass
