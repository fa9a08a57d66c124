def area(width, height):
    """The area of a rectangle."""
    return


def perimeter(width, height):
    """The length of its four sides."""
    return 2 * (width + height)
