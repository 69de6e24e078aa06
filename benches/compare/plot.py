"""Draws wall times: a group of bars for each row, each group on a scale of its own that begins at zero."""

import html

import measured

WIDTH, LABELS, VALUES = 860, 250, 80
TITLE, BAR, GAP = 26, 18, 16
OURS, OTHERS = "#2a6fb0", "#b8bcc4"


def text(x, y, words, more=""):
    return f'<text x="{x}" y="{y}" {more}>{html.escape(words.replace("`", ""))}</text>'


def group(row, top):
    """The bars of one row; with where the next row begins."""
    lines = [text(0, top + 17, row.title, 'font-weight="bold"')]
    walls = {label: measured.median(took).wall_s for label, took in row.took.items()}
    longest = max(max(walls.values()), 0.001)
    y = top + TITLE
    for label, wall_s in walls.items():
        long = max(1, round((WIDTH - LABELS - VALUES) * wall_s / longest))
        lines += [
            text(LABELS - 8, y + 13, label, 'text-anchor="end"'),
            f'<rect x="{LABELS}" y="{y + 2}" width="{long}" height="{BAR - 4}" fill="{OURS if label.startswith("migrate") else OTHERS}"/>',
            text(LABELS + long + 6, y + 13, f"{wall_s:.2f} s"),
        ]
        y += BAR
    return lines, y + GAP


def write(path, rows):
    """Draws the rows that have something to compare; whether there are any."""
    drawn = [row for row in rows if len(row.took) > 1]
    lines = [text(0, 18, "Wall time, medians: shorter is better", 'font-size="16"')]
    top = 34
    for row in drawn:
        of_row, top = group(row, top)
        lines += of_row
    box = f"-12 -8 {WIDTH + 24} {top + 8}"
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#222">'
    # It is also read where pages are dark.
    ground = f'<rect x="-12" y="-8" width="{WIDTH + 24}" height="{top + 8}" fill="#fff"/>'
    path.write_text("\n".join([frame, ground, *lines, "</svg>"]) + "\n")
    return bool(drawn)
