//! Places boxes in columns, with edges from left to right: the layered layout of Sugiyama. The
//! label of an edge is a box in a column between the ends of the edge. Boxes of a column never
//! overlap, and edges bend only between columns, so no edge crosses a box.

/// The width of the space between columns, in which edges bend.
const BEND: f64 = 34.0;
/// The height of the space between boxes of a column.
const SPACE: f64 = 22.0;
/// The number of passes that improve the order and the positions of boxes.
const SWEEPS: usize = 12;
/// The height of an edge that passes a column.
const PASSING: f64 = 6.0;

/// The size of a box.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// An edge from one box to another one, by their indices, with the size of its label.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: Size,
}

/// The upper left corner of a box.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Corner {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// The places of boxes and edges.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) boxes: Vec<Corner>,
    pub(super) edges: Vec<PlacedEdge>,
    pub(super) size: Size,
}

/// An edge, and its label.
#[derive(Clone, Debug, Default)]
pub(super) struct PlacedEdge {
    pub(super) label: Corner,
    /// Whether the edge goes from right to left. Its ends are then swapped.
    pub(super) is_reversed: bool,
    /// The straight parts of the edge, each from its left end to its right end at one height.
    /// Between them the edge bends.
    pub(super) parts: Vec<[Corner; 2]>,
}

/// A box, a label, or an edge that passes a column.
#[derive(Clone, Copy)]
struct Vertex {
    size: Size,
    column: usize,
    y: f64,
}

struct Graph {
    vertices: Vec<Vertex>,
    /// The adjacent vertices of each vertex in the column to the left; `right` has those to the
    /// right.
    left: Vec<Vec<usize>>,
    right: Vec<Vec<usize>>,
    /// The vertices of each column, from top to bottom.
    columns: Vec<Vec<usize>>,
}

/// Places boxes of these sizes, and their edges.
pub(super) fn layout(sizes: &[Size], edges: &[Edge]) -> Layout {
    let reversed = back_edges(sizes.len(), edges);
    let ends: Vec<[usize; 2]> = edges
        .iter()
        .zip(&reversed)
        .map(|(edge, back)| if *back { [edge.to, edge.from] } else { [edge.from, edge.to] })
        .collect();
    let layers = layers(sizes.len(), &ends);
    let (mut graph, paths) = Graph::new(sizes, edges, &ends, &layers);
    graph.order();
    graph.place();
    graph.layout(sizes.len(), &paths, &reversed)
}

/// Returns for each edge whether it closes a cycle, in the order of a depth-first search.
fn back_edges(count: usize, edges: &[Edge]) -> Vec<bool> {
    let mut reversed = vec![false; edges.len()];
    let mut state = vec![0u8; count];
    let has_source = |node: usize| edges.iter().any(|edge| edge.to == node);
    let (mut first, second): (Vec<usize>, Vec<usize>) =
        (0..count).partition(|node| !has_source(*node));
    first.extend(second);
    for start in first {
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        let mut way = vec![(start, 0)];
        while let Some((node, next)) = way.last_mut() {
            let Some(edge) = edges.get(*next) else {
                state[*node] = 2;
                way.pop();
                continue;
            };
            let (at, is_own) = (*next, edge.from == *node);
            *next += 1;
            match state[edge.to] {
                _ if !is_own => {}
                0 => {
                    state[edge.to] = 1;
                    way.push((edge.to, 0));
                }
                1 => reversed[at] = true,
                _ => {}
            }
        }
    }
    reversed
}

/// Returns the layer of each box: the length of the longest path to it. Boxes without edges are
/// spread over all layers.
fn layers(count: usize, ends: &[[usize; 2]]) -> Vec<usize> {
    let mut layers = vec![0; count];
    // Without cycles, this ends after at most as many rounds as boxes on the longest path.
    for _ in 0..count {
        for &[from, to] in ends {
            layers[to] = layers[to].max(layers[from] + 1);
        }
    }
    let is_alone = |node: &usize| ends.iter().all(|ends| !ends.contains(node));
    let alone: Vec<usize> = (0..count).filter(is_alone).collect();
    let used = layers.iter().max().map_or(0, |last| last + 1);
    let square = (1..).find(|side| side * side >= alone.len()).unwrap_or(1);
    for (place, node) in alone.into_iter().enumerate() {
        layers[node] = place % used.max(square);
    }
    layers
}

impl Graph {
    /// Creates the graph, and returns the vertices of each edge from left to right.
    fn new(
        sizes: &[Size],
        edges: &[Edge],
        ends: &[[usize; 2]],
        layers: &[usize],
    ) -> (Graph, Vec<Vec<usize>>) {
        let boxes = sizes.iter().zip(layers);
        let boxes = boxes.map(|(size, layer)| Vertex { size: *size, column: 2 * layer, y: 0.0 });
        let mut vertices: Vec<Vertex> = boxes.collect();
        let mut paths = Vec::new();
        for (edge, &[from, to]) in edges.iter().zip(ends) {
            let mut path = vec![from];
            for column in 2 * layers[from] + 1..2 * layers[to] {
                let size = match column == 2 * layers[from] + 1 {
                    true => edge.label,
                    false => Size { width: 0.0, height: PASSING },
                };
                path.push(vertices.len());
                vertices.push(Vertex { size, column, y: 0.0 });
            }
            path.push(to);
            paths.push(path);
        }
        let last = vertices.iter().map(|vertex| vertex.column).max().unwrap_or_default();
        let mut columns = vec![Vec::new(); last + 1];
        for (number, vertex) in vertices.iter().enumerate() {
            columns[vertex.column].push(number);
        }
        let (mut left, mut right) =
            (vec![Vec::new(); vertices.len()], vec![Vec::new(); vertices.len()]);
        for pair in paths.iter().flat_map(|path| path.windows(2)) {
            right[pair[0]].push(pair[1]);
            left[pair[1]].push(pair[0]);
        }
        (Graph { vertices, left, right, columns }, paths)
    }

    /// Orders each column by the positions of adjacent vertices, so that few edges cross.
    fn order(&mut self) {
        for sweep in 0..SWEEPS {
            let mut places = vec![0.0; self.vertices.len()];
            for column in &self.columns {
                for (place, vertex) in column.iter().enumerate() {
                    places[*vertex] = (place as f64 + 0.5) / column.len() as f64;
                }
            }
            let is_forward = sweep % 2 == 0;
            let adjacent = if is_forward { &self.left } else { &self.right };
            let count = self.columns.len();
            for step in 0..count {
                let column = if is_forward { step } else { count - 1 - step };
                let mean = |vertex: usize| {
                    let all = &adjacent[vertex];
                    let sum: f64 = all.iter().map(|other| places[*other]).sum();
                    if all.is_empty() { places[vertex] } else { sum / all.len() as f64 }
                };
                let mut order: Vec<(f64, usize)> =
                    self.columns[column].iter().map(|vertex| (mean(*vertex), *vertex)).collect();
                order.sort_by(|a, b| a.0.total_cmp(&b.0));
                let length = order.len() as f64;
                for (place, (_, vertex)) in order.iter().enumerate() {
                    places[*vertex] = (place as f64 + 0.5) / length;
                }
                self.columns[column] = order.into_iter().map(|(_, vertex)| vertex).collect();
            }
        }
    }

    /// Puts each vertex as close to the height of its adjacent vertices as the order permits.
    fn place(&mut self) {
        for column in &self.columns {
            let mut y = 0.0;
            for vertex in column {
                self.vertices[*vertex].y = y;
                y += self.vertices[*vertex].size.height + SPACE;
            }
        }
        for sweep in 0..SWEEPS {
            for step in 0..self.columns.len() {
                let is_forward = sweep % 2 == 0;
                let place = if is_forward { step } else { self.columns.len() - 1 - step };
                let wanted: Vec<f64> = self.columns[place]
                    .iter()
                    .map(|vertex| {
                        let both = self.left[*vertex].iter().chain(&self.right[*vertex]);
                        let (mut sum, mut count) = (0.0, 0.0);
                        for other in both {
                            sum += self.centre(*other);
                            count += 1.0;
                        }
                        let own = self.vertices[*vertex];
                        if count == 0.0 { own.y } else { sum / count - own.size.height / 2.0 }
                    })
                    .collect();
                self.settle(place, &wanted);
            }
        }
        let top = self.vertices.iter().map(|it| it.y).fold(f64::INFINITY, f64::min);
        self.vertices.iter_mut().for_each(|vertex| vertex.y -= top);
    }

    fn centre(&self, vertex: usize) -> f64 {
        self.vertices[vertex].y + self.vertices[vertex].size.height / 2.0
    }

    /// Places the vertices of a column as close as possible to their wanted heights, without
    /// overlaps: isotonic regression by pooling vertices that would overlap.
    fn settle(&mut self, column: usize, wanted: &[f64]) {
        let mut offset = 0.0;
        // Blocks of vertices that touch: the sum of their wanted heights, and their number.
        let mut blocks = Vec::<(f64, usize)>::new();
        let mut offsets = Vec::new();
        for (vertex, wanted) in self.columns[column].iter().zip(wanted) {
            offsets.push(offset);
            blocks.push((wanted - offset, 1));
            offset += self.vertices[*vertex].size.height + SPACE;
            while let [.., (before, many), (after, few)] = blocks[..] {
                if before / many as f64 <= after / few as f64 {
                    break;
                }
                blocks.pop();
                if let Some(last) = blocks.last_mut() {
                    *last = (before + after, many + few);
                }
            }
        }
        let places =
            blocks.iter().flat_map(|(sum, count)| std::iter::repeat_n(sum / *count as f64, *count));
        let places: Vec<f64> = places.zip(offsets).map(|(place, offset)| place + offset).collect();
        for (vertex, place) in self.columns[column].iter().zip(places) {
            self.vertices[*vertex].y = place;
        }
    }

    fn layout(&self, boxes: usize, paths: &[Vec<usize>], reversed: &[bool]) -> Layout {
        let mut starts = Vec::new();
        let mut x = 0.0;
        for column in &self.columns {
            let widths = column.iter().map(|vertex| self.vertices[*vertex].size.width);
            let width = widths.fold(0.0, f64::max);
            starts.push((x, width));
            x += width + BEND;
        }
        // A box is in the middle of its column.
        let corner = |vertex: usize| {
            let Vertex { size, column, y } = self.vertices[vertex];
            let (start, width) = starts[column];
            Corner { x: start + (width - size.width) / 2.0, y }
        };
        let edges = paths.iter().zip(reversed).map(|(path, reversed)| {
            let parts = path.iter().enumerate().map(|(place, vertex)| {
                let (start, width) = starts[self.vertices[*vertex].column];
                let (at, size) = (corner(*vertex), self.vertices[*vertex].size);
                if place == 0 {
                    let y = self.side(*vertex, path[1], &self.right);
                    return [Corner { x: at.x + size.width, y }, Corner { x: start + width, y }];
                }
                if place + 1 == path.len() {
                    let y = self.side(*vertex, path[place - 1], &self.left);
                    return [Corner { x: start, y }, Corner { x: at.x, y }];
                }
                let y = at.y + size.height / 2.0;
                [Corner { x: start, y }, Corner { x: start + width, y }]
            });
            let (parts, label) = (parts.collect(), corner(path[1]));
            PlacedEdge { label, is_reversed: *reversed, parts }
        });
        let ends = self.vertices.iter().map(|vertex| vertex.y + vertex.size.height);
        let size = Size { width: x - BEND, height: ends.fold(0.0, f64::max) };
        Layout { boxes: (0..boxes).map(corner).collect(), edges: edges.collect(), size }
    }

    /// Returns the height at which an edge leaves a box on one side: the edges share the side in
    /// the order of their other ends.
    fn side(&self, vertex: usize, other: usize, adjacent: &[Vec<usize>]) -> f64 {
        let mut all = adjacent[vertex].clone();
        all.sort_by(|a, b| self.centre(*a).total_cmp(&self.centre(*b)).then(a.cmp(b)));
        let place = all.iter().position(|it| *it == other).unwrap_or_default();
        let Vertex { size, y, .. } = self.vertices[vertex];
        y + size.height * (place as f64 + 1.0) / (all.len() as f64 + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sizes: &[Size], edges: &[Edge]) {
        let layout = layout(sizes, edges);
        let labels = layout.edges.iter().zip(edges).map(|(edge, of)| (edge.label, of.label));
        let boxes = layout.boxes.iter().copied().zip(sizes.iter().copied());
        let all: Vec<(Corner, Size)> = boxes.chain(labels).collect();
        for (place, (a, of_a)) in all.iter().enumerate() {
            assert!(a.x >= 0.0 && a.y >= -0.001, "{a:?}");
            assert!(a.x + of_a.width <= layout.size.width + 0.001);
            assert!(a.y + of_a.height <= layout.size.height + 0.001);
            for (b, of_b) in &all[..place] {
                let beside = a.x + of_a.width <= b.x + 0.001 || b.x + of_b.width <= a.x + 0.001;
                let above = a.y + of_a.height <= b.y + 0.001 || b.y + of_b.height <= a.y + 0.001;
                assert!(beside || above, "{a:?} {of_a:?} overlaps {b:?} {of_b:?}");
            }
        }
    }

    /// Tests all graphs of a kind with up to twelve boxes, which have different sizes.
    #[test]
    fn nothing_overlaps() {
        for count in 0..=12 {
            let size = |place: usize| Size {
                width: 80.0 + (place * 37 % 90) as f64,
                height: 40.0 + (place * 53 % 170) as f64,
            };
            let sizes: Vec<Size> = (0..count).map(size).collect();
            let label = Size { width: 90.0, height: 36.0 };
            let edge = |from, to| Edge { from, to, label };
            let pairs = || (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
            for step in 1..=6 {
                let edges = pairs().filter(|(a, b)| a < b && (a * 7 + b * 5) % step == 0);
                check(&sizes, &edges.map(|(a, b)| edge(a, b)).collect::<Vec<_>>());
                // A circle.
                let edges = (0..count).filter(|a| (a + step) % count != *a);
                let edges = edges.map(|a| edge(a, (a + step) % count));
                check(&sizes, &edges.collect::<Vec<_>>());
            }
            check(&sizes, &[]);
        }
    }
}
