"""Full runs and what came of them.

    python -m sjepa.study list open                 names of full runs, each after what it needs
    python -m sjepa.study expand NAME > p.yaml      the parameters of one
    python -m sjepa.study run NAME …                many full runs at once, also after a kill
    python -m sjepa.study report --params FILE      tables of what ran and what did not
    python -m sjepa.study collect runs/NAME         a run's result into the book's tables
    python -m sjepa.study export RUN OUT            a run's encoder as one file, with its terms
"""

import argparse

from sjepa.config import command_line, command_params, make_config
from sjepa.errors import Parser, SjepaError, main_with_errors
from sjepa.study.batch import run_all
from sjepa.study.experiments import ReportConfig, experiments, groups
from sjepa.study.export import export
from sjepa.study.results import collect
from sjepa.study.tables import write_report


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line's arguments."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = Parser("python -m sjepa.study", description=__doc__, formatter_class=plain)
    add = parser.add_subparsers(dest="command", required=True).add_parser
    add("list").add_argument("groups", nargs="?", default="",
                             help=f"some of {','.join(groups())}")
    add("expand").add_argument("name", help="as `list` names it")
    one = add("run")
    one.add_argument("names", nargs="+", metavar="NAME", help="groups, or patterns such as open-*")
    one.add_argument("--jobs", type=int, default=1, help="runs beside each other")
    given = command_line("python -m sjepa.study report", "", ReportConfig)
    add("report", epilog=given.epilog, parents=[given], conflict_handler="resolve",
        formatter_class=plain)
    one = add("collect")
    one.add_argument("folders", nargs="*", metavar="FOLDER",
                     help="of a run, or with runs in it; all of runs/ if none is named")
    one.add_argument("--replace", action="store_true",
                     help="a run that is there with other settings gives way")
    one = add("export")
    one.add_argument("run", metavar="RUN", help="the folder of a finished pretraining")
    one.add_argument("out", metavar="OUT.safetensors")
    one.add_argument("--data", nargs="+", metavar="SET",
                     help="sets that it was trained on, if not the one that the run names")
    one.add_argument("--licence", default="", metavar="TEXT",
                     help="of the weights; otherwise the terms of the data bind them")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    args = parse(argv)
    if args.command == "list":
        rows = experiments(args.groups).values()
        chosen = {row.group for row in rows}
        print(*(f"# {name}: {text}" for name, text in groups().items() if name in chosen),
              *(f"{row.step:10} {row.name}" for row in rows), sep="\n")
    elif args.command == "expand":
        if args.name in groups():
            raise SjepaError(f"{args.name} is a group: name one of its experiments, see `list`")
        print(experiments(args.name)[args.name].text, end="")
    elif args.command == "run":
        print(f"{run_all(args.names, args.jobs)} runs are finished")
    elif args.command == "report":
        write_report(make_config(ReportConfig, command_params(args)))
    elif args.command == "collect":
        merged = collect(args.folders, args.replace)
        print(f"{len(merged)} runs in book/results: {', '.join(merged)}")
    else:
        card = export(args.run, args.out, args.data, args.licence)
        trained = "; ".join(f"{each['set']} ({each['licence']})" for each in card["data"])
        print(f"{args.out}: {card['licence']}; trained on {trained}")


if __name__ == "__main__":
    main_with_errors(main)
