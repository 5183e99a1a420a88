"""Text from outside, such as the name of a file, as a terminal and a page may show it."""
import unicodedata


def printable(text: str) -> str:
    """Return text with its control characters as escapes, so that a terminal or a browser shows them and no more."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or unicodedata.category(char) == "Zs" else
                   char.encode("unicode_escape").decode("ascii") for char in text)
