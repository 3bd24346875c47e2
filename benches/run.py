#!/usr/bin/env python3
"""Measures Hushkeep, and restic beside it, on the corpus. Standard library and GNU time only.

    run.py prepare --work DIR            make the corpus states once (medium: 12 GB, some minutes)
    run.py days    --work DIR            the database alone: first backup, seven days, one VACUUM day, restores
    run.py whole   --work DIR            the whole corpus with its media: first backup and restore
    run.py flat    --work DIR            a flat folder of 100,000 files, then 15 new ones
    run.py all     --work DIR            all of these

Prints Markdown and writes DIR/results/<part>-<preset>.json. States are made once and kept in DIR.
"""

import argparse
import filecmp
import hashlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

BENCHES = Path(__file__).resolve().parent
CORPUS = BENCHES / "corpus" / "corpus.py"
DAYS = 7
FLAT_FILES, FLAT_NEW, FLAT_SIZE = 100_000, 15, 300


# ---------------------------------------------------------------- corpus states


@dataclass
class States:
    """The states of one preset: `base` is the whole corpus, the rest are copies of its database."""

    folder: Path

    @property
    def base(self):
        return self.folder / "base"

    def database(self, name):
        return self.folder / f"{name}.db"

    @property
    def names(self):
        return [f"d{day}" for day in range(DAYS + 1)] + ["dvac"]


def prepare(work, preset):
    """Makes the states that are missing. A state is complete when its name is there: copies are renamed last."""
    states = States(work / preset)
    states.folder.mkdir(parents=True, exist_ok=True)
    if not states.base.exists():
        making = states.folder / "base.part"
        shutil.rmtree(making, ignore_errors=True)
        corpus("make", "--preset", preset, "--seed", "1", "--out", making)
        os.rename(states.folder / "base.part.params.json", states.folder / "base.params.json")
        os.rename(making, states.base)
    if not all(states.database(name).exists() for name in states.names):
        live_through_days(states)
    return states


def live_through_days(states):
    """Days change the database in place, so they work on a copy beside the base state."""
    days = states.folder / "days"
    shutil.rmtree(days, ignore_errors=True)
    database = days / "Databases" / "msgstore.db"
    database.parent.mkdir(parents=True)
    shutil.copy2(states.base / "Databases" / "msgstore.db", database)
    shutil.copy2(states.folder / "base.params.json", states.folder / "days.params.json")
    for number, name in enumerate(states.names):
        if number > 0:
            corpus("day", "--dir", days, "--day", number, *(["--vacuum"] if name == "dvac" else []))
        making = states.database(name).with_suffix(".part")
        shutil.copy2(database, making)
        os.rename(making, states.database(name))


def corpus(*arguments):
    subprocess.run([sys.executable, str(CORPUS), *map(str, arguments)], check=True)


def flat_folder(work):
    """A folder of many small files. Names and bytes are the same on every machine."""
    folder = work / f"flat-{FLAT_FILES}"
    if not folder.exists():
        making = folder.with_suffix(".part")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        for number in range(FLAT_FILES):
            write_flat_file(making, number)
        os.rename(making, folder)
    for number in range(FLAT_FILES, FLAT_FILES + FLAT_NEW):
        flat_path(folder, number).unlink(missing_ok=True)
    return folder


def flat_path(folder, number):
    return folder / f"IMG-2025{1 + number // 10_000 % 12:02}{1 + number % 28:02}-WA{number:06}.jpg"


def write_flat_file(folder, number):
    path = flat_path(folder, number)
    path.write_bytes(hashlib.shake_128(f"flat/{number}".encode()).digest(FLAT_SIZE))
    os.utime(path, (1_750_000_000 + number,) * 2)


# ---------------------------------------------------------------- measuring


@dataclass
class Cost:
    """What one command cost, from GNU time, and what it added to the repository."""

    user_s: float
    system_s: float
    wall_s: float
    peak_mb: float
    added_bytes: int = 0
    added_objects: int = 0


def run(command, environment):
    """Runs a command under GNU time. Its output is shown only when it fails."""
    timed = ["/usr/bin/time", "-v", *map(str, command)]
    done = subprocess.run(timed, env=os.environ | environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"failed with {done.returncode}: {' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    field = lambda label: re.findall(rf"^\s*{re.escape(label)}: (.+)$", done.stderr, re.MULTILINE)[-1]
    wall = 0.0
    for part in field("Elapsed (wall clock) time (h:mm:ss or m:ss)").split(":"):
        wall = wall * 60 + float(part)
    cost = Cost(
        user_s=float(field("User time (seconds)")),
        system_s=float(field("System time (seconds)")),
        wall_s=wall,
        peak_mb=int(field("Maximum resident set size (kbytes)")) / 1000,
    )
    return cost, done.stdout


def objects(repository):
    """Every file of a repository with its size and change time: what a storage would have been sent."""
    paths = (path for path in repository.rglob("*") if path.is_file())
    return {str(path.relative_to(repository)): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def backup(tool, source):
    """One backup, with the bytes and objects that are new or rewritten in the repository."""
    before = objects(tool.repository)
    cost = tool.backup(source)
    new = {name: info for name, info in objects(tool.repository).items() if before.get(name) != info}
    cost.added_bytes = sum(size for size, _ in new.values())
    cost.added_objects = len(new)
    return cost


def must_be_equal(expected, restored):
    """Compares two files or folders byte for byte, names included."""
    if expected.is_file():
        same = restored.is_file() and filecmp.cmp(expected, restored, shallow=False)
    else:
        names = lambda top: {path.relative_to(top) for path in top.rglob("*")}
        same = names(expected) == names(restored) and all(
            filecmp.cmp(expected / name, restored / name, shallow=False)
            for name in names(expected)
            if (expected / name).is_file()
        )
    if not same:
        sys.exit(f"NOT EQUAL: {restored} is not what {expected} was")


# ---------------------------------------------------------------- the tools


class Hushkeep:
    name = "hushkeep"

    def __init__(self, program, folder):
        self.program, self.folder, self.repository = program, folder, folder / "repository"
        self.key, self.device = folder / "recovery-key.txt", {"HUSHKEEP_HOME": str(folder / "device-1")}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def version(self):
        return subprocess.run([self.program, "--version"], check=True, capture_output=True, text=True).stdout.strip()

    def backup(self, source):
        first = [] if self.repository.exists() else ["--init", "--recovery-key-file", self.key]
        return run([self.program, "backup", source, "-r", self.repository, *first], self.device)[0]

    def second_device(self):
        """From here on everything runs on a device that has only the recovery key."""
        self.device = {"HUSHKEEP_HOME": str(self.folder / "device-2")}
        run([self.program, "recover", "-r", self.repository, "--recovery-key-file", self.key], self.device)

    def snapshots(self):
        """The ids of all snapshots, oldest first."""
        _, lines = run([self.program, "snapshots", "-r", self.repository, "--json"], self.device)
        rows = [json.loads(line) for line in lines.splitlines()]
        snapshots = [row for row in rows if row["type"] == "snapshot"]
        return [row["id"] for row in sorted(snapshots, key=lambda row: row["number"])]

    def restore(self, snapshot, target, source):
        cost = run([self.program, "restore", snapshot, "-r", self.repository, "-t", target], self.device)[0]
        return cost, target / source.name


class Restic:
    name = "restic"

    def __init__(self, program, folder):
        self.program, self.folder, self.repository = program, folder, folder / "repository"
        self.device = self.environment("device-1")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        run([program, "init", "-r", self.repository], self.device)

    def environment(self, device):
        return {"RESTIC_PASSWORD": "benchmark", "RESTIC_CACHE_DIR": str(self.folder / device)}

    def version(self):
        return subprocess.run([self.program, "version"], check=True, capture_output=True, text=True).stdout.strip()

    def backup(self, source):
        return run([self.program, "backup", source, "-r", self.repository], self.device)[0]

    def second_device(self):
        """From here on everything runs without the first device's cache."""
        self.device = self.environment("device-2")

    def snapshots(self):
        """The ids of all snapshots, oldest first."""
        _, answer = run([self.program, "snapshots", "-r", self.repository, "--json"], self.device)
        return [row["id"] for row in sorted(json.loads(answer), key=lambda row: row["time"])]

    def restore(self, snapshot, target, source):
        cost = run([self.program, "restore", snapshot, "-r", self.repository, "--target", target], self.device)[0]
        return cost, target / source.relative_to("/")


def tools(options, part):
    """The tools to measure, each with an empty repository of its own."""
    chosen = []
    for name, kind in (("hushkeep", Hushkeep), ("restic", Restic)):
        program = shutil.which(getattr(options, name))
        if name in options.tools and program:
            chosen.append(kind(program, options.work / "repositories" / f"{part}-{name}"))
        elif name in options.tools:
            print(f"{name}: not found, left out", file=sys.stderr)
    return chosen


# ---------------------------------------------------------------- the parts


def measure_days(options):
    states = prepare(options.work, options.preset)
    source = options.work / "live" / "Databases"
    results = {}
    for tool in tools(options, "days"):
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        costs = []
        for name in states.names:
            shutil.copy2(states.database(name), source / "msgstore.db")
            costs.append(backup(tool, source))
        tool.second_device()
        restores = [restore_and_compare(tool, snapshot, source, states.database(name), "msgstore.db")
                    for snapshot, name in zip(tool.snapshots(), states.names, strict=True)]
        size = states.database("dvac").stat().st_size
        results[tool.name] = summarise_days(tool, states.names, costs, restores, size)
    shutil.rmtree(source.parent, ignore_errors=True)
    return results


def summarise_days(tool, names, costs, restores, database_bytes):
    days = costs[1 : DAYS + 1]
    middle = lambda field: statistics.median(getattr(cost, field) for cost in days)
    return {
        "version": tool.version(),
        "states": {name: asdict(cost) for name, cost in zip(names, costs)},
        "restores": {name: asdict(cost) for name, cost in zip(names, restores)},
        "day bytes, median": middle("added_bytes"),
        "day bytes, mean": statistics.mean(cost.added_bytes for cost in days),
        "day objects, median": middle("added_objects"),
        "day user s, median": middle("user_s"),
        "day system s, median": middle("system_s"),
        "day wall s, median": middle("wall_s"),
        "day peak MB, highest": max(cost.peak_mb for cost in days),
        "vacuum day, % of the database": 100 * costs[-1].added_bytes / database_bytes,
        "all states restored on a second device and equal": True,
    }


def restore_and_compare(tool, snapshot, source, expected, inner=""):
    target = tool.folder / "restored"
    shutil.rmtree(target, ignore_errors=True)
    cost, restored = tool.restore(snapshot, target, source)
    must_be_equal(expected, restored / inner)
    shutil.rmtree(target)
    return cost


def measure_whole(options):
    source = prepare(options.work, options.preset).base
    results = {}
    for tool in tools(options, "whole"):
        first = backup(tool, source)
        tool.second_device()
        restore = restore_and_compare(tool, tool.snapshots()[-1], source, source)
        results[tool.name] = {"version": tool.version(), "states": {"whole": asdict(first)},
                              "restores": {"whole": asdict(restore)}, "restored on a second device and equal": True}
    return results


def measure_flat(options):
    results = {}
    for tool in tools(options, "flat"):
        folder = flat_folder(options.work)
        first = backup(tool, folder)
        for number in range(FLAT_FILES, FLAT_FILES + FLAT_NEW):
            write_flat_file(folder, number)
        again = backup(tool, folder)
        states = {f"{FLAT_FILES:,} files": asdict(first), f"{FLAT_NEW} new files": asdict(again)}
        results[tool.name] = {"version": tool.version(), "states": states}
    return results


PARTS = {"days": measure_days, "whole": measure_whole, "flat": measure_flat}


# ---------------------------------------------------------------- reporting


def markdown(part, results):
    """One table of all commands, and one line for each figure that sums them up."""
    lines = [f"## {part}", "", "| tool | command | added bytes | objects | user s | system s | wall s | peak MB |",
             "|---|---|---:|---:|---:|---:|---:|---:|"]
    for tool, result in results.items():
        for command in ("states", "restores"):
            for name, cost in result.get(command, {}).items():
                added = f"{cost['added_bytes']:,} | {cost['added_objects']:,}" if command == "states" else "– | –"
                lines.append(f"| {tool} | {'backup' if command == 'states' else 'restore'} {name} | {added} | "
                             f"{cost['user_s']:.2f} | {cost['system_s']:.2f} | {cost['wall_s']:.2f} | {cost['peak_mb']:.0f} |")
    figures = dict.fromkeys(key for result in results.values() for key in result if key not in ("states", "restores"))
    lines += ["", "| | " + " | ".join(results) + " |", "|---|" + "---:|" * len(results)]
    for figure in figures:
        lines.append(f"| {figure} | " + " | ".join(shown(result.get(figure)) for result in results.values()) + " |")
    return "\n".join(lines) + "\n"


def shown(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
    return str(value)


def machine():
    return {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("prepare", *PARTS, "all"))
    parser.add_argument("--work", type=Path, required=True, help="where states, repositories and results are kept")
    parser.add_argument("--preset", default="medium", choices=("tiny", "small", "medium"))
    parser.add_argument("--tools", default="hushkeep,restic", type=lambda text: text.split(","))
    parser.add_argument("--hushkeep", default=str(BENCHES.parent / "target" / "release" / "hushkeep"))
    parser.add_argument("--restic", default="restic")
    options = parser.parse_args()
    options.work = options.work.resolve()
    if options.part == "prepare":
        prepare(options.work, options.preset)
        return
    for part in PARTS if options.part == "all" else [options.part]:
        results = PARTS[part](options)
        if not results:
            sys.exit("no tool to measure was found")
        report = options.work / "results" / f"{part}-{options.preset}.json"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps({"part": part, "preset": options.preset, "machine": machine(), "tools": results}, indent=1))
        print(markdown(part, results), flush=True)


if __name__ == "__main__":
    main()
