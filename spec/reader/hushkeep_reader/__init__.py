"""A second reader of Hushkeep repositories, written from `spec/repository.md` alone.

Sections that are cited as §1 and so on are those of that page.
"""
