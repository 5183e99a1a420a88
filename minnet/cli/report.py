"""Write the HTML page of a result again.

  minnet report minnet-out              reads minnet-out/result.json, writes minnet-out/report.html

The page is one file that needs nothing else. Where there is a play.html, by `minnet play`, it is in the page, or linked
where both would take more than 1.5 MB.
"""
from argparse import Namespace
from pathlib import Path

from minnet.cli.console import Console
from minnet.cli.parser import Parser
from minnet.errors import quoted


def options(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("dir", metavar="DIR", help="folder written by `minnet prune`")


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    from minnet.files import check_writable
    from minnet.report.page import page
    from minnet.study.folder import PAGE, read_result, write_page

    read_result(args.dir)  # an error comes before anything is made
    folder = check_writable(args.dir)
    write_page(folder, page)
    path = str(Path(folder) / PAGE)
    console.result(quoted(path), {"report": path})
