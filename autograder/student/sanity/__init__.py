"""What ``check.py`` is made of; nothing here is to be changed, or handed in."""
