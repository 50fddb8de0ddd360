//! References to actors of other nodes.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium_core::Request;
use mycelium_executor::SendFuture;

use super::actors::Actors;
use super::far::{ActorCall, OtherNodes, Replied, WatchCall};
use super::life::{Actor, Methods, Replies};
use super::values::{ActorEnd, NAMES, RemoteActorError, is_name};
use crate::inbox::request::{
    Failure, Mismatch, PendingReply, RequestError, Requester, Taken, Unanswered, is_too_long,
};

impl Actors {
    /// Creates a reference to an actor of another node: `address` is the name of the node, a `/`,
    /// and the name of the actor. The actor need not exist yet, and the reference does not keep it
    /// alive: each request goes to the actor that has the name when the request arrives. This call
    /// sends nothing.
    ///
    /// `A` defines which requests the reference can make. The other node compares only the layout
    /// of each request, which may have [grown](macro@crate::message): an actor of another type that
    /// answers the same request replies too.
    ///
    /// In the topology, `actors_for` of the node with the actors lists the nodes that may ask.
    /// `docs/actors.md` has an example.
    ///
    /// # Errors
    /// [`RemoteActorError`]: the address is invalid, the node is unknown, or this node may not ask
    /// it.
    pub fn remote<A: Actor>(&self, address: &str) -> Result<RemoteRef<A>, RemoteActorError> {
        let invalid = |problem| RemoteActorError::Address { address: address.to_owned(), problem };
        let Some((node, name)) = address.split_once('/') else {
            return Err(invalid("it has no `/`"));
        };
        if node.is_empty() {
            return Err(invalid("the name of the node is empty"));
        }
        if !is_name(name) {
            return Err(invalid(NAMES));
        }
        let nodes = self.set().nodes.get().cloned().ok_or(RemoteActorError::NoNode)?;
        nodes.check(node)?;
        let Some(calls) = nodes.calls(node) else { return Err(RemoteActorError::ShuttingDown) };
        let address = Arc::new(Address {
            label: address.into(),
            slash: node.len(),
            id: self.set().next_id(),
            nodes,
        });
        Ok(RemoteRef(Methods::around(RemoteCaller { address, calls, actor: PhantomData })))
    }
}

/// The address of an actor, shared by all clones of a reference.
struct Address {
    /// The address as a text: `node/actor`.
    label: Arc<str>,
    slash: usize,
    id: u64,
    nodes: Arc<dyn OtherNodes>,
}

impl Address {
    fn node(&self) -> &str {
        &self.label[..self.slash]
    }

    fn actor(&self) -> &str {
        &self.label[self.slash + 1..]
    }
}

/// Refers to an actor of another node by its name; created by [`Actors::remote`]. It can ask and
/// watch. The actor's methods with `#[remote]` are its methods. For messages without a reply use
/// [topics](crate::Context::emit).
///
/// The requests of one reference arrive in the order in which they are made, as long as the mailbox
/// of the actor has room.
//
// The macro has the names of all methods, which no call may have: a new one belongs there, too.
pub struct RemoteRef<A: Actor>(A::Calls<RemoteCaller<A>>);

/// The sending side of a reference to an actor of another node, inside the struct with the actor's
/// calls. `N` is always the default: it is a parameter, so that the compiler checks
/// [`InThisProcess`] where a method is called, and not where it is declared.
pub struct RemoteCaller<A: Actor, N = OtherNode> {
    address: Arc<Address>,
    calls: Requester<ActorCall>,
    actor: PhantomData<fn() -> (A, N)>,
}

/// The place of an actor in another node.
pub enum OtherNode {}

/// Implemented by nothing: the bound of methods that are not offered to other processes.
#[diagnostic::on_unimplemented(
    message = "this method is not offered to other processes",
    label = "the method has no `#[remote]`",
    note = "write `#[remote]` above the method: it then takes one message, which is a request, and \
            returns the reply of the request"
)]
pub trait InThisProcess {}

impl<A: Actor> RemoteRef<A> {
    /// Asks the actor, and waits for its reply, as [`ActorRef::ask`](crate::actor::ActorRef::ask).
    /// The future borrows nothing; [`RemoteReply::within`] sets a deadline. Dropping the future
    /// cancels the request.
    ///
    /// Request and reply have at most 64 KiB each; a type with a larger `max` does not compile.
    ///
    /// # Errors
    /// [`RequestError`], as for an actor of this node, and:
    ///
    /// - `Unreachable`: the node was not connected until the deadline, or for a second if there is
    ///   no deadline; or its process ended after the request was sent. A request is never given to
    ///   an actor twice: only one that a node of another version has not understood is sent again,
    ///   with its layout, and counts twice.
    /// - `NotFound`: no actor has the name.
    /// - `Gone`: the actor has ended.
    /// - `Mismatch`: the actor does not answer the request, or has another layout of it or of the
    ///   reply, which has not only grown.
    /// - `Deadline` with `Taken::Unknown`: the deadline passed after the request was sent.
    /// - `ShuttingDown`: this node or the other one shuts down.
    pub fn ask<R: Request>(&mut self, request: R) -> RemoteReply<R>
    where
        A: Replies<R>,
    {
        self.0.inner_mut().ask(request)
    }

    /// Waits until the actor has ended, and returns how it ended: [`ActorEnd::Unreachable`] if its
    /// node is not connected for a second, its process has ended, or one of the two nodes shuts
    /// down; [`ActorEnd::NotFound`] if no actor has the name; [`ActorEnd::TooManyWatches`] if this
    /// node already has its maximum of watches of that node.
    pub fn ended(&self) -> impl Future<Output = ActorEnd> + Send + use<A> + 'static {
        ended(self.address().clone())
    }

    /// Returns the address: `node/actor`.
    #[must_use]
    pub fn label(&self) -> Arc<str> {
        self.address().label.clone()
    }

    /// Returns the name of the actor's node.
    #[must_use]
    pub fn node(&self) -> &str {
        self.address().node()
    }

    /// Returns the name of the actor in its node.
    #[must_use]
    pub fn name(&self) -> &str {
        self.address().actor()
    }

    /// Returns the number of this reference and its clones; no actor of this process has the same
    /// number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.address().id
    }

    fn address(&self) -> &Arc<Address> {
        &self.0.inner().address
    }
}

impl<A: Actor, N> RemoteCaller<A, N> {
    /// Implements [`RemoteRef::ask`].
    pub fn ask<R: Request>(&mut self, request: R) -> RemoteReply<R>
    where
        A: Replies<R>,
    {
        let RemoteCaller { address, calls, .. } = self;
        let call = ActorCall::new(address.actor(), &request);
        let reply = match is_too_long(&request) {
            true => calls.too_long(&call),
            false => calls.request(call),
        };
        RemoteReply {
            reply,
            request,
            address: address.clone(),
            has_deadline: false,
            lost: None,
            was_lost: false,
            has_layout: false,
        }
    }
}

/// Waits for the end of the actor.
async fn ended(address: Arc<Address>) -> ActorEnd {
    let Address { nodes, .. } = &*address;
    let Some((mut watches, limit)) = nodes.watches(address.node()) else {
        return ActorEnd::Unreachable;
    };
    let end = watches.request(WatchCall::new(address.actor()));
    let lost = select(nodes.lost(address.node()), nodes.shutdown());
    match select(pin!(end), lost).await {
        Either::Left((Ok(reply), _)) => reply.end(),
        Either::Left((Err(RequestError::Refused { .. }), _)) => {
            ActorEnd::TooManyWatches { node: address.node().into(), limit }
        }
        Either::Left((Err(_), _)) | Either::Right(_) => ActorEnd::Unreachable,
    }
}

impl<A: Actor> Clone for RemoteRef<A> {
    fn clone(&self) -> RemoteRef<A> {
        let RemoteCaller { address, calls, .. } = self.0.inner();
        let (address, calls) = (address.clone(), calls.another());
        RemoteRef(Methods::around(RemoteCaller { address, calls, actor: PhantomData }))
    }
}

/// The methods of the actor with `#[remote]`: [`#[actor]`](macro@crate::actor).
impl<A: Actor> Deref for RemoteRef<A> {
    type Target = A::Calls<RemoteCaller<A>>;

    fn deref(&self) -> &A::Calls<RemoteCaller<A>> {
        &self.0
    }
}

impl<A: Actor> DerefMut for RemoteRef<A> {
    fn deref_mut(&mut self) -> &mut A::Calls<RemoteCaller<A>> {
        &mut self.0
    }
}

impl<A: Actor> fmt::Debug for RemoteRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteRef({})", self.address().label)
    }
}

/// The future of [`RemoteRef::ask`]: the reply of an actor in another node.
#[must_use = "dropping it cancels the request"]
pub struct RemoteReply<R: Request> {
    reply: PendingReply<ActorCall>,
    request: R,
    address: Arc<Address>,
    /// Whether `within` was called. The request then waits for a connection until its deadline.
    has_deadline: bool,
    /// Completes when the node was not connected for too long. Created when the future first waits,
    /// if the request has no deadline.
    lost: Option<SendFuture<()>>,
    was_lost: bool,
    /// The call was sent again with its layout.
    has_layout: bool,
}

impl<R: Request> RemoteReply<R> {
    /// Sets a deadline: see [`PendingReply::within`]. The time includes the transfer between the
    /// nodes.
    pub fn within(mut self, duration: Duration) -> RemoteReply<R> {
        self.reply.set_deadline(duration);
        self.has_deadline = true;
        self
    }

    /// Sends the call again with its layout, because the other node has another version of the
    /// request and has not asked the actor. Returns the error if that is impossible.
    #[cold]
    fn send_with_layout(&mut self) -> Result<(), RequestError<R>> {
        let Some(call) = ActorCall::with_layout(self.address.actor(), &self.request) else {
            return Err(self.mismatch(Mismatch::Layout));
        };
        let Some(mut calls) = self.address.nodes.calls(self.address.node()) else {
            return Err(self.error(Failure::ShuttingDown));
        };
        self.reply.replace_by(calls.request_until(&call, self.reply.end()));
        self.has_layout = true;
        Ok(())
    }

    fn mismatch(&self, mismatch: Mismatch) -> RequestError<R> {
        let (taken, actor) = (Taken::No, Some(self.address.label.clone()));
        RequestError::Mismatch { mismatch, taken, actor }
    }

    /// Converts the failure of the call to the error of the request. If the other node has taken
    /// the call, the actor may still not have taken the request.
    #[cold]
    fn error(&self, failure: Failure) -> RequestError<R> {
        let failure = match failure {
            Failure::Late if self.was_lost => Failure::Away,
            Failure::LateHeld | Failure::LateSent if self.was_lost => Failure::Lost,
            Failure::LateHeld => Failure::LateSent,
            failure => failure,
        };
        let actor = Some(self.address.label.clone());
        RequestError::new(failure, &self.request, self.reply.limit(), actor)
    }
}

/// Nothing in the future is pinned.
impl<R: Request> Unpin for RemoteReply<R> {}

impl<R: Request> Future for RemoteReply<R> {
    type Output = Result<R::Reply, RequestError<R>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut poll = this.reply.poll_outcome(context);
        if poll.is_pending() && !this.has_deadline {
            let Address { nodes, .. } = &*this.address;
            let lost = this.lost.get_or_insert_with(|| nodes.lost(this.address.node()));
            if lost.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            // A deadline of zero removes the request if it is still in the mailbox.
            this.was_lost = true;
            this.reply.set_deadline(Duration::ZERO);
            poll = this.reply.poll_outcome(context);
        }
        let Poll::Ready(result) = poll else { return Poll::Pending };
        let replied = this.reply.settle(result).map(|reply| reply.reply::<R::Reply>());
        Poll::Ready(match replied {
            Ok(Replied::Reply(reply)) => Ok(reply),
            Ok(Replied::AsksLayout) if !this.has_layout => match this.send_with_layout() {
                Ok(()) => return self.poll(context),
                Err(error) => Err(error),
            },
            Ok(Replied::AsksLayout) => Err(this.mismatch(Mismatch::Layout)),
            Ok(Replied::Mismatch(mismatch)) => Err(this.mismatch(mismatch)),
            Ok(Replied::TooLong) => Err(this.error(Failure::ReplyTooLong)),
            Ok(Replied::Invalid) => Err(this.error(Failure::Dropped)),
            Err(failure) => Err(this.error(failure)),
        })
    }
}

impl<R: Request> fmt::Debug for RemoteReply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actor = &self.address.label;
        f.debug_struct("RemoteReply").field("topic", &R::TOPIC).field("actor", actor).finish()
    }
}
