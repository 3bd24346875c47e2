#!/usr/bin/env python3
"""Measures how Hushkeep grows, with the program `measure-scale`. Standard library only; Linux.

    scale.py --work DIR                            500,000 files, and twice ten years of days (hours, 6 GB of disk)
    scale.py --work DIR --pages 6400               the years with a quarter of the database (half an hour, 2 GB)
    scale.py --work DIR --small                    a try in seconds
    scale.py --work DIR --plot docs/growth.svg     draws the ten years as well

Prints Markdown. Measures once: DIR/results/scale-<part>.jsonl has a line for each measured step, and a part that has
its results is not measured again. The last state of the ten years is restored and compared each time.
"""

import argparse
import filecmp
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

RELEASE = Path(__file__).resolve().parent.parent / "target" / "release"
MODES = {"keep-all": "every snapshot is kept", "retention": "7 daily, 5 weekly, 12 monthly, all yearly"}
TIMED_RUNS = 5


# ---------------------------------------------------------------- measuring


def measured(options, part, *arguments, makes=True):
    """The lines of one part, which makes its folder or works upon what is there. They are complete when the file has its name."""
    results = options.work / "results" / f"scale-{part}.jsonl"
    if not results.exists():
        if makes:
            shutil.rmtree(options.work / part, ignore_errors=True)
        results.parent.mkdir(parents=True, exist_ok=True)
        making = results.with_suffix(".part")
        size = (["--small"] if options.small else []) + (["--pages", options.pages] if options.pages else [])
        command = [options.measure, *arguments, "--work", options.work, *size]
        with making.open("w") as out:
            subprocess.run(list(map(str, command)), stdout=out, check=True)
        making.rename(results)
    return [json.loads(line) for line in results.read_text().splitlines()]


def hushkeep(options, mode, *arguments):
    """Runs the command as the device that made the ten years; returns its wall time in seconds."""
    began = time.perf_counter()
    command = [options.hushkeep, *arguments, "--repo", options.work / mode / "repository"]
    environment = os.environ | {"HUSHKEEP_HOME": str(options.work / mode / "home")}
    subprocess.run(list(map(str, command)), env=environment, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def restore_and_compare(options, mode):
    target = options.work / "restored"
    shutil.rmtree(target, ignore_errors=True)
    hushkeep(options, mode, "restore", "latest", "-t", target)
    if not filecmp.cmp(options.work / mode / "msgstore.db", target / "Databases" / "msgstore.db", shallow=False):
        sys.exit(f"NOT EQUAL: the last state was not restored ({mode})")
    shutil.rmtree(target)


# ---------------------------------------------------------------- reporting


def stored(line, what):
    return sum(folder[what] for folder in line["storage"].values())


def backups(lines):
    return [line for line in lines if "report" in line]


def prunes(lines):
    return [line for line in lines if "pruned" in line]


def peak_mb(line):
    return line["run"]["peak_bytes"] / 1e6


def cpu(line):
    return f"{line['run']['user_s']:.1f} + {line['run']['system_s']:.1f}"


def media_table(lines):
    out = ["| | first backup | unchanged | 15 new files |", "|---|---:|---:|---:|"]
    row = lambda name, shown: out.append(f"| {name} | " + " | ".join(shown(line) for line in lines) + " |")
    row("files", lambda line: f"{line['report']['files']:,}")
    row("bytes", lambda line: f"{line['report']['bytes']:,}")
    row("bytes stored", lambda line: f"{line['report']['bytes_stored']:,}")
    row("objects stored", lambda line: f"{line['report']['objects_stored']:,}")
    row("CPU seconds", cpu)
    row("peak memory", lambda line: f"{peak_mb(line):.0f} MB")
    row("of it when opened", lambda line: f"{line['open']['peak_bytes'] / 1e6:.0f} MB")
    row("requests", lambda line: f"{line['run']['requests']['total']:,}")
    for kind in sorted({kind for line in lines for kind in line["run"]["requests"]["kinds"]}):
        row(f"… {kind}", lambda line: f"{line['run']['requests']['kinds'].get(kind, {}).get('requests', 0):,}")
    return out


def years_table(lines):
    out = ["| after | snapshots | database | stored | packs | index objects | commits | requests | open | peak memory |",
           "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    year = lambda line: line["day"] // 365
    for number, line in enumerate(lines):
        if number in (0, len(lines) - 1) or year(line) != year(lines[number - 1]):
            objects = {name: folder["objects"] for name, folder in line["storage"].items()}
            out.append(f"| {line['day']:,} days | {line['snapshots_before'] + 1:,} | {line['report']['bytes'] / 1e6:.0f} MB | "
                       f"{stored(line, 'bytes') / 1e6:,.0f} MB | {objects['packs']:,} | {objects['index']:,} | "
                       f"{objects['commits']:,} | {line['run']['requests']['total']:,} | "
                       f"{line['open']['wall_s'] * 1000:.0f} ms | {peak_mb(line):.0f} MB |")
    most = lambda value: max(map(value, lines))
    out += ["", f"Of all measured days the most: {most(lambda line: stored(line, 'objects')):,} objects, "
            f"{most(lambda line: stored(line, 'bytes')) / 1e6:,.0f} MB, {most(peak_mb):.0f} MB of memory, "
            f"{most(lambda line: line['run']['requests']['total']):,} requests."]
    return out


def prunes_table(lines):
    amount = lambda line, what: line["pruned"]["packs"][what]
    out = ["| prune after | snapshots | packs repacked | bytes written | packs dropped | objects deleted | requests | CPU seconds | peak memory |",
           "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for line in lines:
        out.append(f"| {line['day']:,} days | {line['snapshots']:,} | {amount(line, 'repacked')['packs']:,} | "
                   f"{amount(line, 'written')['bytes']:,} | {amount(line, 'dropped')['packs']:,} | {line['pruned']['deleted']:,} | "
                   f"{line['run']['requests']['total']:,} | {cpu(line)} | {peak_mb(line):.0f} MB |")
    return out


def report_mode(options, mode):
    """Ten years of days; returns the lines of the backups."""
    lines = measured(options, mode, "years", f"--{mode}")
    days = backups(lines)
    print(f"## Ten years of days: {MODES[mode]}", "", *years_table(days), "", sep="\n")
    # Timed once: what comes after it is not part of ten years in which nothing is pruned.
    listing = options.work / "results" / f"scale-{mode}-listing.json"
    if not listing.exists():
        listing.write_text(json.dumps([hushkeep(options, mode, "snapshots") for _ in range(TIMED_RUNS)]))
    seconds = statistics.median(json.loads(listing.read_text()))
    print(f"`hushkeep snapshots` at the end: {seconds:.3f} s (median of {TIMED_RUNS})", "", sep="\n")
    last = f"prune {days[-1]['day']}"
    pruned = prunes(lines) or measured(options, "prune", "years", f"--{mode}", "--step", last, makes=False)
    most = max(pruned, key=peak_mb)
    print(*prunes_table([most] if most is pruned[-1] else [most, pruned[-1]]), "", sep="\n")
    restore_and_compare(options, mode)
    print("The last state was restored and is equal.", "", sep="\n", flush=True)
    return days


# ---------------------------------------------------------------- drawing


WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM = 760, 210, 74, 136, 34, 30
INK, FAINT = "#24292f", "#d0d7de"
COLOURS = ("#0969da", "#1a7f37", "#bc4c00")


def panel(top, title, series, shown, years):
    """One chart: `series` has a name and points (year, value) for each line."""
    most = nice(max(value for _, points in series for _, value in points))
    x = lambda year: LEFT + (WIDTH - LEFT - RIGHT) * year / years
    y = lambda value: top + PANEL - BOTTOM - (PANEL - TOP - BOTTOM) * value / most
    out = [f'<text x="{LEFT}" y="{top + 18}" font-weight="600">{title}</text>']
    for step in range(5):
        value = most * step / 4
        out.append(f'<path d="M{LEFT} {y(value):.0f}H{WIDTH - RIGHT}" stroke="{FAINT}"/>'
                   f'<text x="{LEFT - 8}" y="{y(value) + 4:.0f}" text-anchor="end">{shown(value) if step else 0}</text>')
    for year in ticks(years):
        out.append(f'<text x="{x(year):.0f}" y="{top + PANEL - 12}" text-anchor="middle">{year:g}</text>')
    labels = spread([y(points[-1][1]) for _, points in series])
    for (name, points), colour, label in zip(series, COLOURS, labels):
        path = "M" + "L".join(f"{x(year):.1f} {y(value):.1f}" for year, value in points)
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
                   f'<text x="{WIDTH - RIGHT + 8}" y="{label + 4:.0f}" fill="{colour}">{name}</text>')
    return out


def nice(value):
    """The next round number that divides well by four."""
    step = 10 ** (len(str(int(value))) - 1)
    return next(step * factor for factor in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * factor >= value)


def ticks(years):
    return range(int(years) + 1) if years >= 1 else (0, years)


def spread(heights, least=15):
    """Moves labels apart where their lines end close together, keeping their order."""
    order = sorted(range(len(heights)), key=heights.__getitem__, reverse=True)
    placed = dict.fromkeys(order)
    below = float("inf")
    for number in order:
        below = placed[number] = min(heights[number], below - least)
    return [placed[number] for number in range(len(heights))]


def plot(modes):
    """The growth of ten years, with and without forgetting, in two panels."""
    years = modes["keep-all"][-1]["day"] / 365
    points = lambda mode, value: [(line["day"] / 365, value(line)) for line in modes[mode]]
    panels = [
        ("Bytes on the storage, and of the database itself",
         [("every snapshot", points("keep-all", lambda line: stored(line, "bytes"))),
          ("forgetting", points("retention", lambda line: stored(line, "bytes"))),
          ("the database", points("keep-all", lambda line: line["report"]["bytes"]))],
         lambda value: f"{value / 1e9:g} GB" if value >= 1e9 else f"{value / 1e6:g} MB"),
        ("Objects on the storage",
         [("every snapshot", points("keep-all", lambda line: stored(line, "objects"))),
          ("forgetting", points("retention", lambda line: stored(line, "objects")))],
         lambda value: f"{value:,.0f}"),
    ]
    height = PANEL * len(panels) + 16
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
           f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">', f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>']
    for number, (title, series, shown) in enumerate(panels):
        out += panel(number * PANEL, title, series, shown, years)
    out.append(f'<text x="{LEFT}" y="{height - 8}">years, one backup a day; forgetting: {MODES["retention"]}, pruned every 30 days</text></svg>')
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where repositories and results are kept")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--pages", type=int, help="how many pages of 4 KiB the database begins with")
    parser.add_argument("--plot", type=Path, help="where to draw the growth")
    parser.add_argument("--measure", default=str(RELEASE / "measure-scale"))
    parser.add_argument("--hushkeep", default=str(RELEASE / "hushkeep"))
    options = parser.parse_args()
    options.work = options.work.resolve()

    print("## A large folder", "", *media_table(measured(options, "media", "media")), "", sep="\n", flush=True)
    modes = {mode: report_mode(options, mode) for mode in MODES}
    if options.plot:
        options.plot.write_text(plot(modes))


if __name__ == "__main__":
    main()
