//! As a picture.

use super::layout::{BAR_WIDTH, BOX_WIDTH, Bar, LINE, Layout, Node, is_interface};
use crate::topology::{Cable, LinkName, Place, PortPolicy, Topology};
use netns_ebpf::Mode;
use std::fmt::Write;

/// A point.
type Point = (usize, usize);

/// A topology as an SVG picture, which any browser shows; no program is needed to make it.
#[must_use]
pub fn svg(topology: &Topology) -> String {
    let layout = Layout::new(topology);
    let Layout { width, height, .. } = layout;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    // Writing to a `String` cannot fail. Lines first, so that boxes cover their ends.
    for cable in &topology.cables {
        write_cable(&mut out, &layout, cable);
    }
    for bar in &layout.bars {
        if is_interface(topology, &bar.link)
            && let Some(host) = layout.node(&Place::Host)
        {
            let (from, to) = (below(host), (bar.x + BAR_WIDTH / 2, bar.y));
            write_line(&mut out, from, to, " stroke-dasharray=\"5 4\"");
        }
        write_bar(&mut out, bar);
    }
    for node in &layout.nodes {
        write_node(&mut out, node);
    }
    out.push_str("</svg>\n");
    out
}

fn write_cable(out: &mut String, layout: &Layout, Cable { ends: [near, far], policy, .. }: &Cable) {
    let Some(node) = layout.node(&far.link.place) else { return };
    let Some(port) = near.port else {
        let Some(other) = layout.node(&near.link.place) else { return };
        let (left, right) = if other.x <= node.x { (other, node) } else { (node, other) };
        // Neighbours are joined side by side, others by an arc below.
        let (from, to) = ((left.x + BOX_WIDTH, middle(left)), (right.x, middle(right)));
        if right.x.saturating_sub(from.0) < BOX_WIDTH {
            write_line(out, from, to, "");
        } else {
            let (from, to) = (below(left), below(right));
            let deep = from.1.max(to.1) + 60;
            let _ = writeln!(
                out,
                "<path d=\"M{} {} C{} {deep} {} {deep} {} {}\" fill=\"none\" stroke=\"#456\" stroke-width=\"1.5\"/>",
                from.0, from.1, from.0, to.0, to.0, to.1
            );
        }
        return;
    };
    let bridge = LinkName { place: near.link.place.clone(), name: port.bridge };
    let Some(bar) = layout.bar(&bridge) else { return };
    let name = escaped(near.link.name.as_str());
    if node.y < bar.y {
        // From the row above to the bar's top.
        let (from, to) = (below(node), (bar.x + BAR_WIDTH / 2, bar.y));
        write_line(out, from, to, "");
        let at = ((3 * from.0 + 2 * to.0) / 5, (3 * from.1 + 2 * to.1) / 5);
        write_label(out, at, policy.as_ref(), &name);
    } else {
        let y = middle(node);
        let (from, to) =
            if node.x < bar.x { (node.x + BOX_WIDTH, bar.x) } else { (bar.x + BAR_WIDTH, node.x) };
        write_line(out, (from, y), (to, y), "");
        write_label(out, (usize::midpoint(from, to), y - 4), policy.as_ref(), &name);
    }
}

fn write_line(out: &mut String, from: Point, to: Point, style: &str) {
    let _ = writeln!(
        out,
        "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"#456\" stroke-width=\"1.5\"{style}/>",
        from.0, from.1, to.0, to.1
    );
}

/// The name of a port, and below it what is done about what it may not receive, and its group. A white edge keeps it off
/// the lines.
fn write_label(out: &mut String, (x, y): Point, policy: Option<&PortPolicy>, name: &str) {
    out.push_str("<g paint-order=\"stroke\" stroke=\"#fff\" stroke-width=\"4\" stroke-linejoin=\"round\">\n");
    write_text(out, (x, y), "middle", "#678", name);
    if let Some(policy) = policy {
        let colour = if policy.mode == Mode::Enforce { "#a3342c" } else { "#946200" };
        write_text(out, (x, y + LINE + 3), "middle", colour, &escaped(&policy.label()));
    }
    out.push_str("</g>\n");
}

fn write_text(out: &mut String, at: Point, anchor: &str, colour: &str, text: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\" fill=\"{colour}\" xml:space=\"preserve\">{text}</text>",
        at.0, at.1
    );
}

fn write_bar(out: &mut String, bar: &Bar) {
    let _ = writeln!(
        out,
        "<rect x=\"{}\" y=\"{}\" width=\"{BAR_WIDTH}\" height=\"{}\" rx=\"6\" fill=\"#2f6f9f\"/>",
        bar.x, bar.y, bar.height
    );
    let name = match bar.link.place {
        Place::Host => bar.link.name.to_string(),
        Place::Namespace(_) => bar.link.to_string(),
    };
    let label = std::iter::once(name).chain(bar.addresses.iter().cloned()).collect::<Vec<_>>().join("  ");
    write_text(out, (bar.x + BAR_WIDTH + 8, bar.y + LINE), "start", "#2f6f9f", &escaped(&label));
}

fn write_node(out: &mut String, node: &Node) {
    let (fill, stroke) = if node.place.is_host() { ("#fdf3dd", "#b98a2f") } else { ("#eef5ee", "#4b8a57") };
    let _ = writeln!(
        out,
        "<rect x=\"{}\" y=\"{}\" width=\"{BOX_WIDTH}\" height=\"{}\" rx=\"8\" fill=\"{fill}\" stroke=\"{stroke}\"/>",
        node.x, node.y, node.height
    );
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text>",
        node.x + 10,
        node.y + LINE + 3,
        escaped(&node.place.to_string())
    );
    for (number, line) in node.lines.iter().enumerate() {
        write_text(out, (node.x + 10, node.y + LINE * (number + 2) + 3), "start", "#333", &escaped(line));
    }
}

const fn middle(node: &Node) -> usize {
    node.y + node.height / 2
}

const fn below(node: &Node) -> Point {
    (node.x + BOX_WIDTH / 2, node.y + node.height)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
