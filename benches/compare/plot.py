"""Draws wall times: a group of bars for each row, each group on a scale of its own that begins at zero."""

import measured

OURS, OTHERS = "#2a6fb0", "#b8bcc4"
# In inches.
WIDTH, BAR, TITLE = 9.5, 0.24, 0.5


def group(axes, row):
    """The bars of one row."""
    walls = {label: measured.median(took).wall_s for label, took in row.took.items()}
    bars = axes.barh(list(walls), list(walls.values()), color=[OURS if label.startswith("migrate") else OTHERS for label in walls])
    axes.bar_label(bars, fmt="%.2f s", padding=4)
    axes.set_title(row.title.replace("`", ""), loc="left", fontweight="bold", fontsize=10)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.xaxis.set_visible(False)
    axes.tick_params(left=False)
    axes.spines[:].set_visible(False)


def write(path, rows):
    """Draws the rows that have something to compare; whether there are any."""
    drawn = [row for row in rows if len(row.took) > 1]
    if not drawn:
        return False
    # Installed with the peers, and not needed to read the other files.
    import matplotlib

    # Text stays text, and two drawings of the same figures are the same file.
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "migrate", "font.size": 9})
    from matplotlib import pyplot

    heights = [BAR * len(row.took) + TITLE for row in drawn]
    figure, axes = pyplot.subplots(
        len(drawn), figsize=(WIDTH, sum(heights) + TITLE), height_ratios=heights, squeeze=False, layout="constrained"
    )
    figure.suptitle("Wall time, medians: shorter is better")
    for of_row, row in zip(axes.flat, drawn):
        group(of_row, row)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True
