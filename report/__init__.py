"""The report as a PDF, written from the records of finished runs: ``python -m report``.

``report.md`` is the text. What is measured in it stands there as holes, and each sentence that the numbers
could make untrue stands in a claim. ``study`` finds the runs and computes what goes into the holes,
``document`` fills them, holds the claims to be true, and turns text and figures into a PDF.
"""
