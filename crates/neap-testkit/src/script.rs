//! Which reply does a request get?
//!
//! Asked in this order, the first that applies decides: the test's own switch, a scripted outage,
//! the host's capacity, the first requests of a URL, the page, the tree, the fallback. Only the
//! last three are service: they take a seat, and the host's latency.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::asked::{Asked, path_of};
use crate::plan::Plan;
use crate::reply::Reply;
use crate::tree::Tree;

/// A reply computed from the request.
pub(crate) type Compute = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// Everything that decides about replies.
pub(crate) struct Script {
    pub(crate) routes: Mutex<HashMap<String, Arc<Route>>>,
    pub(crate) tree: Option<Tree>,
    pub(crate) fallback: Compute,
    pub(crate) latency: Duration,
    pub(crate) workers: Option<Arc<Semaphore>>,
    pub(crate) switched: Mutex<Option<Arc<Plan>>>,
    pub(crate) outages: Vec<Outage>,
    pub(crate) capacity: Option<Capacity>,
    pub(crate) first: Vec<(usize, Arc<Plan>)>,
    pub(crate) spared: HashSet<String>,
    /// When the first request came.
    pub(crate) began: OnceLock<Instant>,
    /// How often each target was answered, as far as `first` needs it.
    pub(crate) seen: Mutex<HashMap<String, usize>>,
}

/// How a path is answered.
pub(crate) enum Route {
    /// Always alike.
    Fixed(Arc<Plan>),
    /// One after the other; the last one stays.
    InTurn(Vec<Arc<Plan>>, AtomicUsize),
    /// By a closure.
    Computed(Compute),
}

/// A time in which everything gets the same reply, from the first request on.
pub(crate) struct Outage {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    pub(crate) plan: Arc<Plan>,
}

/// What the host bears at once, and its reply to more.
pub(crate) struct Capacity {
    pub(crate) seats: usize,
    pub(crate) taken: Arc<AtomicUsize>,
    pub(crate) plan: Arc<Plan>,
}

/// The decision about one request.
pub(crate) struct Chosen {
    pub(crate) plan: Arc<Plan>,
    /// Time before the first byte, the plan's own delay included.
    pub(crate) delay: Duration,
    /// Where to queue first, if the host has a fixed number of workers.
    pub(crate) workers: Option<Arc<Semaphore>>,
    /// The seat it holds until it is answered. Held, never looked at.
    pub(crate) seat: Option<Seat>,
}

/// One of the requests that a host with a capacity serves at once.
pub(crate) struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Script {
    pub(crate) fn choose(&self, asked: &Asked) -> Chosen {
        let began = *self.began.get_or_init(Instant::now);
        if self.spared.contains(asked.path()) {
            return self.serve(asked, None);
        }
        if let Some(plan) = lock(&self.switched).clone() {
            return Chosen::refusal(plan);
        }
        if let Some(outage) = self
            .outages
            .iter()
            .find(|outage| outage.covers(began.elapsed()))
        {
            return Chosen::refusal(Arc::clone(&outage.plan));
        }
        let seat = match self.capacity.as_ref().map(Capacity::take) {
            None => None,
            Some(Ok(seat)) => Some(seat),
            Some(Err(plan)) => return Chosen::refusal(plan),
        };
        if let Some(plan) = self.one_of_the_first(&asked.target) {
            return Chosen::refusal(plan);
        }
        self.serve(asked, seat)
    }

    fn serve(&self, asked: &Asked, seat: Option<Seat>) -> Chosen {
        let plan = self.page(asked);
        Chosen {
            delay: self.latency + plan.delay,
            workers: self.workers.clone(),
            plan,
            seat,
        }
    }

    /// The reply of the first that knows the request: routes by whole target, routes by path, the
    /// tree, the fallback.
    fn page(&self, asked: &Asked) -> Arc<Plan> {
        if let Some(route) = self.route(&asked.target) {
            return route.plan(asked);
        }
        if let Some(reply) = self
            .tree
            .as_ref()
            .and_then(|tree| tree.reply(&asked.target))
        {
            return Arc::new(Plan::new(&reply));
        }
        Arc::new(Plan::new(&(self.fallback)(asked)))
    }

    fn route(&self, target: &str) -> Option<Arc<Route>> {
        let routes = lock(&self.routes);
        routes
            .get(target)
            .or_else(|| routes.get(path_of(target)))
            .cloned()
    }

    fn one_of_the_first(&self, target: &str) -> Option<Arc<Plan>> {
        if self.first.is_empty() {
            return None;
        }
        let mut seen = lock(&self.seen);
        let times = seen.entry(target.to_owned()).or_insert(0);
        let mut before = *times;
        *times += 1;
        for (n, plan) in &self.first {
            match before.checked_sub(*n) {
                None => return Some(Arc::clone(plan)),
                Some(rest) => before = rest,
            }
        }
        None
    }
}

impl Route {
    fn plan(&self, asked: &Asked) -> Arc<Plan> {
        match self {
            Route::Fixed(plan) => Arc::clone(plan),
            Route::InTurn(plans, next) => {
                let turn = next.fetch_add(1, Ordering::Relaxed).min(plans.len() - 1);
                Arc::clone(&plans[turn])
            }
            Route::Computed(compute) => Arc::new(Plan::new(&compute(asked))),
        }
    }
}

impl Outage {
    fn covers(&self, elapsed: Duration) -> bool {
        (self.from..self.to).contains(&elapsed)
    }
}

impl Capacity {
    /// A seat, or the reply to a request too many. Only the site's thread takes seats, so looking
    /// and taking need not be one step.
    fn take(&self) -> Result<Seat, Arc<Plan>> {
        if self.taken.load(Ordering::Relaxed) >= self.seats {
            return Err(Arc::clone(&self.plan));
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(Seat(Arc::clone(&self.taken)))
    }
}

impl Chosen {
    /// A reply that costs the host no service: at once, but for the reply's own delay.
    fn refusal(plan: Arc<Plan>) -> Chosen {
        Chosen {
            delay: plan.delay,
            workers: None,
            seat: None,
            plan,
        }
    }
}

/// The lock, also after a panic: no change made under these locks can be left half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
