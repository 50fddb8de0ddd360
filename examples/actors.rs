//! A bank whose actors fail, and whose money stays: `cargo run --example actors`. It ends by
//! itself.
//!
//! Accounts, a teller and an audit are actors. Accounts panic before and after they change their
//! books, one is too slow for its deadline, and the teller panics between the two halves of a
//! transfer. At the end there is as much money as at the start. The runtime does not do this alone:
//! it keeps the mailboxes and restarts what failed, but it repeats nothing. Three rules of this
//! program do the rest:
//!
//! 1. State that must outlive a panic is in a `Kept`, outside of the actor: the books of accounts,
//!    and the journal of the teller.
//! 2. Each booking has the number of its transfer, its amount and its purpose, and a book applies a
//!    booking once. So a call whose outcome is unknown can be repeated.
//! 3. The teller writes a transfer to its journal before it begins, and crosses it out when the
//!    outcome is known. A new teller first finishes what is open.
//!
//! The panics and warnings on the standard error are a part of the show.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::time::Duration;

use mycelium::actors::{ActorContext, ActorRef, Actors, CallError, Gone, TellError, WhenFull};
use mycelium::requests::{Call, PendingReply, Taken};
use mycelium::supervision::{Kept, Restart};
use mycelium::{Result, actor};
use mycelium_tokio::Tokio;

/// How long the teller waits for an account.
const PATIENCE: Duration = Duration::from_millis(20);

/// How often the teller asks again before it leaves a transfer to a person.
const ATTEMPTS: usize = 200;

/// A day of this bank.
const DAY: Duration = Duration::from_millis(100);

const CUSTOMERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// The first balance of each account, in cents.
const OPENING: i64 = 10_000;

/// Changes an account. The number of the transfer makes it safe to send a booking twice.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Booking {
    transfer: u64,
    cents: i64,
    memo: String,
}

/// The state of an account: it outlives the actor.
struct Book {
    balance: i64,
    booked: HashSet<Booking>,
}

impl Book {
    /// Applies a booking, once, and returns whether it is booked. A balance below zero is refused: a
    /// reply, and not an error, because an error would restart the actor.
    fn apply(&mut self, booking: Booking) -> bool {
        let is_known = self.booked.contains(&booking);
        let was_booked = is_known || self.balance + booking.cents >= 0;
        if was_booked && !is_known {
            self.balance += booking.cents;
            self.booked.insert(booking);
        }
        was_booked
    }
}

/// What goes wrong with a transfer, once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    PanicsBeforeBooking,
    PanicsAfterBooking,
    IsSlow,
    TellerPanics,
}

struct Account {
    book: Kept<Book>,
    faults: Kept<BTreeMap<u64, Fault>>,
}

#[actor]
impl Account {
    async fn book(&mut self, booking: Booking, ctx: &mut ActorContext<Self>) -> Result<bool> {
        let Booking { transfer, .. } = booking;
        if happens(&self.faults, transfer, Fault::PanicsBeforeBooking) {
            panic!("transfer {transfer}: {} panics before it has booked", ctx.label());
        }
        let was_booked = self.book.commit(|book| book.apply(booking));
        if happens(&self.faults, transfer, Fault::PanicsAfterBooking) {
            panic!("transfer {transfer}: {} panics after it has booked", ctx.label());
        }
        if happens(&self.faults, transfer, Fault::IsSlow) {
            ctx.sleep(PATIENCE * 3).await?;
        }
        Ok(was_booked)
    }

    fn balance(&self) -> i64 {
        self.book.read(|book| book.balance)
    }
}

/// Whether this fault happens now.
fn happens(faults: &Kept<BTreeMap<u64, Fault>>, transfer: u64, fault: Fault) -> bool {
    faults.commit(|faults| {
        let is_due = faults.get(&transfer) == Some(&fault);
        is_due && faults.remove(&transfer).is_some()
    })
}

#[derive(Clone, Copy)]
struct Transfer {
    number: u64,
    from: &'static str,
    to: &'static str,
    cents: i64,
}

/// The message that a timer tells the teller each night.
#[derive(Clone, Copy)]
struct Night;

struct Status {
    nights: u64,
    done: u64,
    not_done: u64,
    open: u64,
}

/// The state of the teller: it outlives the actor.
#[derive(Default)]
struct Journal {
    /// Transfers that have begun, and whose outcome is not known.
    open: BTreeMap<u64, Transfer>,
    done: u64,
    not_done: u64,
    nights: u64,
}

struct Teller {
    journal: Kept<Journal>,
    faults: Kept<BTreeMap<u64, Fault>>,
}

#[actor]
impl Teller {
    /// Runs before the first message, and again after each restart. Timers end with a restart.
    async fn started(&mut self, ctx: &mut ActorContext<Self>) -> Result<()> {
        ctx.tell_every(DAY, Night)?;
        let open: Vec<_> = self.journal.read(|journal| journal.open.values().copied().collect());
        for transfer in open {
            println!("transfer {}: the new teller finds it open, and finishes it", transfer.number);
            self.carry_out(transfer, ctx).await?;
        }
        Ok(())
    }

    #[tell]
    async fn transfer(&mut self, transfer: Transfer, ctx: &mut ActorContext<Self>) -> Result<()> {
        self.journal.commit(|journal| journal.open.insert(transfer.number, transfer));
        self.carry_out(transfer, ctx).await
    }

    /// No transfer is under way between two messages of the only teller, so the sum is exact.
    #[tell]
    async fn night(&mut self, _: Night, ctx: &mut ActorContext<Self>) -> Result<()> {
        let night = self.journal.commit(|journal| {
            journal.nights += 1;
            journal.nights
        });
        let mut sum = 0;
        for customer in CUSTOMERS {
            // An account that was closed has no money.
            sum += call_until_known(customer, |account| account.balance(), ctx)
                .await?
                .unwrap_or_default();
        }
        println!("night {night}: the accounts have {sum} cents");
        Ok(())
    }

    fn status(&self) -> Status {
        self.journal.read(|journal| Status {
            nights: journal.nights,
            done: journal.done,
            not_done: journal.not_done,
            open: journal.open.len() as u64,
        })
    }
}

impl Teller {
    /// Carries out both halves of a transfer. Each call in it may be repeated.
    async fn carry_out(&self, transfer: Transfer, ctx: &mut ActorContext<Self>) -> Result<()> {
        let Transfer { number, from, to, cents } = transfer;
        let booking = |cents, memo| {
            let booking = Booking { transfer: number, cents, memo };
            move |account: &mut ActorRef<Account>| account.book(booking.clone())
        };
        let taken = call_until_known(from, booking(-cents, format!("to {to}")), ctx).await?;
        if taken != Some(true) {
            println!("transfer {number}: {from} does not have {cents} cents");
            self.cross_out(number, false);
            return Ok(());
        }
        if happens(&self.faults, number, Fault::TellerPanics) {
            panic!("transfer {number}: the teller panics, with {cents} cents in its hands");
        }
        let given = call_until_known(to, booking(cents, format!("from {from}")), ctx).await?;
        if given.is_none() {
            println!("transfer {number}: {to} has no account any more: {from} gets it back");
            call_until_known(from, booking(cents, format!("back from {to}")), ctx).await?;
        }
        self.cross_out(number, given.is_some());
        Ok(())
    }

    fn cross_out(&self, number: u64, is_done: bool) {
        self.journal.commit(|journal| {
            journal.open.remove(&number);
            *(if is_done { &mut journal.done } else { &mut journal.not_done }) += 1;
        });
    }
}

/// Calls an account until the outcome is known: the reply, or `None` if there is no such account.
async fn call_until_known<C: Call<Error = CallError>>(
    customer: &str,
    call: impl Fn(&mut ActorRef<Account>) -> PendingReply<C>,
    ctx: &ActorContext<Teller>,
) -> Result<Option<C::Reply>> {
    // Whether an earlier attempt may have changed the account.
    let mut may_be_booked = false;
    for _ in 0..ATTEMPTS {
        let reply = match ctx.actors().by_name::<Account>(customer) {
            Ok(mut account) => Some(ctx.ask(call(&mut account).within(PATIENCE)).await),
            Err(_) => None,
        };
        match reply {
            Some(Ok(reply)) => return Ok(Some(reply)),
            None | Some(Err(CallError::Gone { .. })) if may_be_booked => break,
            None | Some(Err(CallError::Gone { .. })) => return Ok(None),
            Some(Err(error)) => {
                may_be_booked |= error.taken() != Taken::No;
                println!("{customer}: {error} (taken: {:?}), and is asked again", error.taken());
            }
        }
    }
    // The transfer stays in the journal, for a person.
    Err(mycelium::Error::msg(format!("the outcome of a request to {customer} is unknown")))
}

/// Watches the accounts.
struct Audit;

#[actor]
impl Audit {
    fn started(&mut self, ctx: &mut ActorContext<Self>) -> Result<()> {
        for customer in CUSTOMERS {
            ctx.watch(&ctx.actors().by_name::<Account>(customer)?);
        }
        Ok(())
    }

    /// A restart is not an end: this is not called for the panics.
    fn gone(&mut self, account: Gone) {
        println!("audit: the account of {} has ended: {}", account.actor, account.end);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let actors = Actors::on(Tokio::current()?);
    let books: Vec<_> =
        CUSTOMERS.map(|_| Kept::new(Book { balance: OPENING, booked: HashSet::new() })).into();
    let journal = Kept::<Journal>::default();
    let mut teller = open_bank(&actors, &books, &journal)?;
    let before = money(&books);

    println!("--- faults ---");
    let from = ["alice", "bob", "carol", "dave", "alice", "bob"];
    let to = ["bob", "carol", "dave", "alice", "carol", "dave"];
    for (number, (from, to)) in (1..).zip(from.into_iter().zip(to)) {
        // When this returns, the transfer is in the mailbox, which survives each restart of the
        // teller.
        teller.tell(Transfer { number, from, to, cents: 1_000 }).await?;
    }
    teller.tell(Transfer { number: 7, from: "bob", to: "alice", cents: 1_000_000 }).await?;
    let status = when_idle(&mut teller).await?;
    println!("{} transfers are done, {} are not", status.done, status.not_done);

    println!("--- overload ---");
    let (mut accepted, mut refused) = (0, 0);
    for number in 100..300 {
        // The customers do not wait: a full mailbox refuses their transfers.
        match teller.try_tell(Transfer { number, from: "carol", to: "bob", cents: 1 }) {
            Ok(()) => accepted += 1,
            // The error gives the transfer back to the customer; no account has seen it.
            Err(TellError::Full(_transfer)) => refused += 1,
            Err(error) => return Err(error.into()),
        }
    }
    let after = when_idle(&mut teller).await?;
    println!("200 transfers: {accepted} accepted, {refused} refused");
    println!("{} of those accepted are done", after.done - status.done);

    println!("--- an account is closed ---");
    let mut dave = actors.by_name::<Account>("dave")?;
    let balance = dave.balance().await?;
    teller.tell(Transfer { number: 300, from: "dave", to: "alice", cents: balance }).await?;
    when_idle(&mut teller).await?;
    // The account handles the messages in its mailbox, and ends.
    dave.drain();
    dave.ended().await;
    teller.tell(Transfer { number: 301, from: "bob", to: "dave", cents: 500 }).await?;
    let Status { done, not_done, open, .. } = when_idle(&mut teller).await?;

    println!("--- the end ---");
    // The teller ends first, so that it needs no account that has ended.
    teller.drain();
    teller.ended().await;
    for reading in actors.counters() {
        let actor = reading.label("actor");
        if !actor.is_empty() {
            let counts = ["panics", "restarts", "handled", "refused"];
            let counts = counts.map(|name| format!("{} {name}", reading.value(name)));
            println!("{actor}: {}", counts.join(", "));
        }
    }
    let late = actors.shutdown(Duration::from_secs(5)).await;
    let after = money(&books);
    println!("{done} transfers are done, {not_done} are not, {open} are open");
    println!("the bank had {before} cents, and has {after}");
    if before != after || open != 0 || !late.is_empty() {
        return Err("the bank has lost something".into());
    }
    Ok(())
}

/// Spawns the accounts, the audit, and the teller.
fn open_bank(
    actors: &Actors,
    books: &[Kept<Book>],
    journal: &Kept<Journal>,
) -> Result<ActorRef<Teller>, Box<dyn Error>> {
    let faults = Kept::new(BTreeMap::from([
        (2, Fault::PanicsAfterBooking),
        (3, Fault::PanicsBeforeBooking),
        (4, Fault::IsSlow),
        (5, Fault::TellerPanics),
    ]));
    let restart = Restart { backoff: Duration::from_millis(2), ..Restart::default() };
    for (customer, book) in CUSTOMERS.into_iter().zip(books) {
        let (book, faults) = (book.clone(), faults.clone());
        // Makes the actor, and another one after a panic, with the same book.
        let account = move || Account { book: book.clone(), faults: faults.clone() };
        // `keep`: the account does not end when nobody refers to it. Others find it by its name.
        actors.actor(account).name(customer).restart(restart).keep().spawn()?;
    }
    actors.actor(|| Audit).name("audit").keep().spawn()?;
    let journal = journal.clone();
    let teller = move || Teller { journal: journal.clone(), faults: faults.clone() };
    let teller = actors.actor(teller).name("teller").restart(restart);
    Ok(teller.capacity(16).when_full(WhenFull::Refuse).spawn()?)
}

/// Waits until the teller has handled all earlier messages, behind which a request for its status
/// queues, and the first night is over.
async fn when_idle(teller: &mut ActorRef<Teller>) -> Result<Status, Box<dyn Error>> {
    for _ in 0..10_000 {
        match teller.status().await {
            Ok(status) if status.nights > 0 => return Ok(status),
            // The mailbox is full, and has refused the request; or it is still the first day.
            Ok(_) | Err(CallError::Refused { .. }) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err("the teller is busy".into())
}

/// All money, as the books have it.
fn money(books: &[Kept<Book>]) -> i64 {
    books.iter().map(|book| book.read(|book| book.balance)).sum()
}
