//! A directed graph of numbers, and the cycles in it.

/// Nodes with numbers, and links between them.
#[derive(Debug)]
pub(super) struct Graph {
    next: Vec<Vec<usize>>,
    previous: Vec<Vec<usize>>,
}

impl Graph {
    pub(super) fn new(nodes: usize) -> Graph {
        Graph { next: vec![Vec::new(); nodes], previous: vec![Vec::new(); nodes] }
    }

    pub(super) fn link(&mut self, from: usize, to: usize) {
        self.next[from].push(to);
        self.previous[to].push(from);
    }

    /// Returns, for each node on a cycle, the number of its group. Two nodes have the same number
    /// if a cycle goes through both. The time is linear in nodes and links (Kosaraju's algorithm).
    pub(super) fn circles(&self) -> Vec<Option<usize>> {
        let mut groups = vec![None; self.next.len()];
        let mut sizes = Vec::new();
        for node in self.leaving_order().into_iter().rev() {
            if groups[node].is_some() {
                continue;
            }
            let (group, mut size, mut new) = (sizes.len(), 0, vec![node]);
            groups[node] = Some(group);
            while let Some(node) = new.pop() {
                size += 1;
                for &before in &self.previous[node] {
                    if groups[before].is_none() {
                        groups[before] = Some(group);
                        new.push(before);
                    }
                }
            }
            sizes.push(size);
        }
        // A group of one node is not a cycle, because no node has a link to itself.
        groups.into_iter().map(|group| group.filter(|group| sizes[*group] > 1)).collect()
    }

    /// Returns the nodes in the order in which a depth-first search leaves them.
    fn leaving_order(&self) -> Vec<usize> {
        let mut is_seen = vec![false; self.next.len()];
        let mut order = Vec::with_capacity(self.next.len());
        for start in 0..self.next.len() {
            if std::mem::replace(&mut is_seen[start], true) {
                continue;
            }
            // The nodes on the path from `start`, each with the number of its links that were
            // already followed.
            let mut way = vec![(start, 0)];
            while let Some((node, followed)) = way.last_mut() {
                match self.next[*node].get(*followed) {
                    Some(&next) => {
                        *followed += 1;
                        if !std::mem::replace(&mut is_seen[next], true) {
                            way.push((next, 0));
                        }
                    }
                    None => {
                        order.push(*node);
                        way.pop();
                    }
                }
            }
        }
        order
    }

    /// Returns, for each node, whether it is one of `starts` or can be reached from one.
    pub(super) fn reached_from(&self, starts: impl IntoIterator<Item = usize>) -> Vec<bool> {
        let mut is_reached = vec![false; self.next.len()];
        let mut new: Vec<usize> = starts.into_iter().collect();
        while let Some(node) = new.pop() {
            if !std::mem::replace(&mut is_reached[node], true) {
                new.extend(&self.next[node]);
            }
        }
        is_reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found() {
        // Two cycles, of two and three nodes, with a link between them, and an isolated node.
        let mut graph = Graph::new(7);
        for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 3), (3, 4), (4, 2), (4, 5)] {
            graph.link(from, to);
        }
        let groups = graph.circles();
        assert!(groups[0].is_some() && groups[0] == groups[1]);
        assert!(groups[2].is_some() && groups[2] == groups[3] && groups[3] == groups[4]);
        assert_ne!(groups[0], groups[2]);
        assert_eq!(groups[5..], [None, None]);
        assert_eq!(graph.reached_from([3]), [false, false, true, true, true, true, false]);
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let most = 100_000;
        let mut graph = Graph::new(most);
        (1..most).for_each(|node| graph.link(node - 1, node));
        assert!(graph.circles().iter().all(Option::is_none));
        graph.link(most - 1, 0);
        assert!(graph.circles().iter().all(Option::is_some));
    }
}
