//! A recording as the input of a test.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use mycelium_record::{Entry, Reader, Stream};
use mycelium_transports::untyped::UntypedPublisher;

use super::ServiceTest;

impl ServiceTest {
    /// Sends the messages of a recording ([`mycelium
    /// record`](https://docs.rs/mycelium-bus-cli)) to the services that read their topics, and
    /// returns their number. The time of the test passes as in the recording: it advances to each
    /// message, from the first one on, and messages come in the order in which they were recorded.
    /// So all runs of a test are the same. Messages of other topics are left out. The topics stay
    /// open. Needs the feature `record`.
    ///
    /// ```no_run
    /// # use mycelium::testing::ServiceTest;
    /// # use mycelium::{Context, Result, message, service};
    /// # #[message(topic = "ticks", id = 1)]
    /// # struct Tick { price: i64 }
    /// # #[message(topic = "signals", id = 2)]
    /// # struct Signal { change: i64 }
    /// # struct Detector;
    /// # #[service(reads(Tick), emits(Signal))]
    /// # impl Detector {
    /// #     async fn run(&mut self, _: &mut Context<Self>) -> Result<()> { Ok(()) }
    /// # }
    /// let mut test = ServiceTest::new(|| Detector);
    /// assert_eq!(test.replay("tests/day.mcap"), 6313);
    /// assert_eq!(test.receive_all::<Signal>().len(), 51);
    /// ```
    ///
    /// # Panics
    /// If the file cannot be read or is damaged, a message has another layout than that of the
    /// services, or the queue of a service is full.
    #[track_caller]
    pub fn replay(&mut self, recording: impl AsRef<Path>) -> u64 {
        let path = recording.as_ref();
        match self.replayed(path) {
            Ok(count) => count,
            Err(problem) => panic!("{}: {problem}", path.display()),
        }
    }

    #[track_caller]
    fn replayed(&mut self, path: &Path) -> Result<u64, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut reader = Reader::new(BufReader::new(file)).map_err(|error| error.to_string())?;
        let (begin, mut first, mut count) = (self.now(), None, 0);
        let mut publishers = Vec::new();
        while let Some(entry) = reader.next().map_err(|error| error.to_string())? {
            match entry {
                Entry::Began { stream, .. } => publishers.push(self.replaying(stream)?),
                Entry::Message { id, message, stream, .. } => {
                    let Some(Some(publisher)) = publishers.get_mut(id.index()) else { continue };
                    let first = *first.get_or_insert(message.received_at);
                    let due = Duration::from_nanos(message.received_at.saturating_sub(first));
                    self.advance((begin + due).saturating_sub(self.now()));
                    let mut emitted = publisher.emit(message.bytes).now_or_never();
                    if emitted.is_none() {
                        self.run();
                        emitted = publisher.emit(message.bytes).now_or_never();
                    }
                    match emitted {
                        Some(emitted) => emitted.map_err(|error| error.to_string())?,
                        None => {
                            let Stream { topic, .. } = &**stream;
                            return Err(format!("a reader of topic `{topic}` takes no messages"));
                        }
                    }
                    count += 1;
                }
                _ => {}
            }
        }
        self.run();
        self.replayed.extend(publishers.into_iter().flatten());
        match reader.is_whole() {
            true => Ok(count),
            false => Err("the recording is cut off".to_owned()),
        }
    }

    /// Returns a publisher for a stream, if a service reads its topic.
    fn replaying(&self, stream: &Stream) -> Result<Option<UntypedPublisher>, String> {
        let Stream { topic, publisher, message, .. } = stream;
        if self.node.plan.readers(topic).is_empty() {
            return Ok(None);
        }
        let made = self.node.topics.untyped_publisher(topic, publisher);
        let made = made.map_err(|error| error.to_string())?;
        match made.mismatch(message) {
            None => Ok(Some(made)),
            Some(mismatch) => Err(format!(
                "the messages of topic `{topic}` (there) are not those of the test (here): {mismatch}"
            )),
        }
    }
}
