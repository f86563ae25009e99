"""Types in what a page says: a program, or a session whose answers are held against those shown. Its language as argument."""

import doctest
import sys

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def main(language, text):
    """The exit code."""
    if language == "python":
        exec(compile(text, "page", "exec"), {"__name__": "page"})
        return 0
    session = doctest.DocTestParser().get_doctest(text.replace("…", "..."), {}, "page", "page", 0)
    return min(doctest.DocTestRunner(optionflags=FLAGS).run(session, out=sys.stderr.write).failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.stdin.read()))
