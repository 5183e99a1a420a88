"""Write the HTML page of a result again.

  minnet report minnet-out              reads minnet-out/result.json, writes minnet-out/report.html
"""
from pathlib import Path

from minnet.errors import quoted


def options(parser):
    """What it takes."""
    parser.add_argument("dir", metavar="DIR", help="a folder that `minnet prune` wrote")


def run(args, talk):
    """Do it; returns the exit code."""
    from minnet.files import check_writable
    from minnet.report.page import page
    from minnet.study.folder import PAGE, read_result, write_files

    result = read_result(args.dir)
    folder = check_writable(args.dir)
    write_files(folder, {PAGE: page(result)})
    path = str(Path(folder) / PAGE)
    talk.result(quoted(path), {"report": path})
