"""What students get beside the files that they fill in; ``../starter.py`` puts it together."""
