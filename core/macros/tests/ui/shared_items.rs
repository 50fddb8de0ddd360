//! A batch of borrowed items that are not `Sync` cannot be shared between threads.

use std::cell::Cell;
use std::thread;

use mycelium_core::ring::spsc;

fn main() {
    let mut ring = spsc::Inline::<Cell<u64>, 4>::new();
    let (mut writer, mut reader) = ring.split().unwrap();
    writer.try_push(Cell::new(0)).unwrap();
    let items = reader.read(1).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| items.get(0).unwrap().set(1));
    });
}
