//! The results as data and as a picture, with the command that made them.

use super::judge::{Check, Judge};
use super::measured::Measured;
use super::programs::rustc;
use super::stats::Rounds;
use crate::workspace;
use etcd3_lab::{Error, Result};
use std::fmt::Write;

/// Writes the data, the picture and the page that shows them.
pub(crate) fn save(seen: &[Measured], judge: &Judge, rounds: usize) -> Result<()> {
    write("bench/results/performance.json", &json(seen, judge, rounds))?;
    write("bench/results/performance.svg", &picture(seen))?;
    write("bench/results/performance.md", &page(seen, judge, rounds))
}

fn write(file: &str, text: &str) -> Result<()> {
    let path = workspace::root().join(file);
    let failed = |error: std::io::Error| Error::new(format!("{file}: {error}"));
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
    std::fs::write(&path, text).map_err(failed)?;
    println!("wrote {file}");
    Ok(())
}

fn json(seen: &[Measured], judge: &Judge, rounds: usize) -> String {
    let rows = seen.iter().map(line).collect::<Vec<_>>().join(",\n");
    let checks = judge.checks.iter().map(|Check { what, told, most, holds }| {
        format!(
            "  {{\"what\": \"{what}\", \"figure\": \"{told}\", \"most\": {most}, \
             \"holds\": {holds}}}"
        )
    });
    let checks = checks.collect::<Vec<_>>().join(",\n");
    format!(
        "{{\n\"command\": \"cargo xtask bench --save\",\n\"rounds\": {rounds},\n\
         \"rustc\": \"{}\",\n\"rows\": [\n{rows}\n],\n\"checks\": [\n{checks}\n]\n}}\n",
        rustc()
    )
}

fn line(seen: &Measured) -> String {
    let job = seen.job;
    let mut text = format!(
        "  {{\"work\": \"{}\", \"size\": {}, \"callers\": {}",
        job.work, job.size, job.callers
    );
    let named = [("floor", &seen.floor), ("etcd3", &seen.ours), ("etcd_client", &seen.peer)];
    for (name, rounds) in named {
        let (least, most) = (rounds.least(), rounds.most());
        let median = rounds.median();
        let _ = write!(text, ", \"{name}_cpu_ns\": [{least:.0}, {median:.0}, {most:.0}]");
    }
    if let Some((go, is_from_file)) = seen.go.shown() {
        let name = if is_from_file { "go_cpu_ns_from_file" } else { "go_cpu_ns" };
        let _ = write!(text, ", \"{name}\": {go:.0}");
    }
    let (floor, ours) = (seen.floor_instructions, seen.our_instructions);
    let _ =
        write!(text, ", \"floor_instructions\": {floor:.0}, \"etcd3_instructions\": {ours:.0}}}");
    text
}

/// Draws a group of bars for each row; a bar is a multiple of the floor's.
fn picture(seen: &[Measured]) -> String {
    const BAR: usize = 14;
    const LEFT: f64 = 190.0;
    const UNIT: f64 = 70.0;
    let height = 40 + seen.len() * (BAR * 4 + 12);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1000\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"20\">Processor time of a call, as a multiple of the floor</text>\n"
    );
    for (number, row) in seen.iter().enumerate() {
        let top = 40 + number * (BAR * 4 + 12);
        let job = row.job;
        let name = format!("{} {} B, {} callers", job.work, job.size, job.callers);
        let _ = writeln!(text, "<text x=\"10\" y=\"{}\">{name}</text>", top + BAR);
        let over = |rounds: &Rounds| rounds.median() / row.floor.median();
        let mut bars = vec![
            ("floor", "#999999", 1.0),
            ("etcd3", "#1b7837", over(&row.ours)),
            ("etcd-client", "#762a83", over(&row.peer)),
        ];
        bars.extend(row.go.shown().map(|(go, is_from_file)| {
            let name = if is_from_file { "Go, from a file" } else { "Go" };
            (name, "#5aaefa", go / row.floor.median())
        }));
        for (place, (name, colour, multiple)) in bars.into_iter().enumerate() {
            let (y, width) = (top + place * BAR, multiple * UNIT);
            let (at, baseline) = (LEFT + width + 4.0, y + BAR - 3);
            let _ = writeln!(
                text,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.0}\" height=\"{}\" \
                 fill=\"{colour}\"/><text x=\"{at:.0}\" y=\"{baseline}\">\
                 {multiple:.2} {name}</text>",
                BAR - 2
            );
        }
    }
    text.push_str("</svg>\n");
    text
}

fn page(seen: &[Measured], judge: &Judge, rounds: usize) -> String {
    let mut text = format!(
        "# Performance\n\n\
         Made by `cargo xtask bench --save` with {}: client and server on a core\n\
         each, a server that answers at once, the clients in turns, {rounds} rounds, medians.\n\
         The *floor* is raw h2 with the headers that the protocol asks for, encoding and\n\
         decoding, and nothing else. All are built with link-time optimisation. Times move\n\
         with the machine, ratios less so, instructions hardly. The data: \
         [performance.json](performance.json).\n\n\
         ![Processor time of a call, as a multiple of the floor](performance.svg)\n\n\
         Processor time and instructions in user space, of a call:\n\n\
         | call | bytes | callers | floor | etcd3 | etcd-client 0.21.1 | Go | \
         instructions: floor | etcd3 |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        rustc()
    );
    for row in seen {
        let job = row.job;
        let [floor, ours, peer] =
            [&row.floor, &row.ours, &row.peer].map(|rounds| rounds.median() / 1000.0);
        let go = row.go.shown().map_or_else(String::new, |(go, is_from_file)| {
            format!("{:.1} µs{}", go / 1000.0, if is_from_file { ", from a file" } else { "" })
        });
        let _ = writeln!(
            text,
            "| {} | {} | {} | {floor:.1} µs | {ours:.1} µs | {peer:.1} µs | {go} | {:.0} | {:.0} |",
            job.work, job.size, job.callers, row.floor_instructions, row.our_instructions
        );
    }
    text.push_str(
        "\n## What must be seen\n\n| what | figure | at most | holds |\n|---|---|---|---|\n",
    );
    for Check { what, told, most, holds } in &judge.checks {
        let holds = if *holds { "yes" } else { "**no**" };
        let _ = writeln!(text, "| {what} | {told} | {most} | {holds} |");
    }
    let notes = judge.notes.join("\n");
    let _ = writeln!(text, "\n## Everything else\n\n```text\n{}\n```", notes.trim());
    text
}
