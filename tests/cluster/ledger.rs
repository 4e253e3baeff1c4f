//! What a client brought to the store and fetched from it, and whether the store has kept it.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::machine::Machine;
use crate::watch::Outage;
use crate::{Outcome, clock, says, store, wait};

/// One answer of the store.
#[derive(Clone, Debug)]
struct Deal {
    answered: Duration,
    /// Whether a number was brought, and not fetched.
    is_put: bool,
    number: u64,
    node: String,
}

/// A client at work; it ends with this value.
pub struct Ledger {
    address: String,
    process: Child,
    deals: Arc<Mutex<Vec<Deal>>>,
}

impl Ledger {
    /// Lets the client trade with the store at `address` from now on.
    pub fn begin(client: &Machine, address: &str) -> Outcome<Self> {
        let ip: IpAddr = address.parse().map_err(says(format!("{address} is not an address")))?;
        let program = std::env::current_exe().map_err(says("cannot find this program"))?;
        let mut process = client
            .network_command(&program.to_string_lossy())
            .args([store::CUSTOMER, &SocketAddr::new(ip, store::PORT).to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(says("cannot start the client"))?;
        let output = process.stdout.take().ok_or("the client has no output")?;
        let deals = Arc::default();
        let sink = Arc::clone(&deals);
        thread::spawn(move || collect(output, &sink));
        Ok(Self { address: address.to_owned(), process, deals })
    }

    /// Waits until `node` keeps a number, after this call.
    pub fn await_write_by(&self, node: &str, patience: Duration) -> Outcome<()> {
        let since = clock::now();
        let what = format!("{node} keeps what the client brings to {}", self.address);
        wait::until(&what, patience, || {
            let deals = self.deals();
            let is_it = |deal: &&Deal| deal.is_put && deal.answered > since && deal.node == node;
            Ok(deals.iter().rev().take(20).any(|deal| is_it(&deal)))
        })
    }

    /// Waits until another node than `old` keeps a number, after `since`. The outage is the time without an
    /// acknowledged write before that.
    pub fn await_takeover_from(
        &self,
        old: &str,
        since: Duration,
        patience: Duration,
    ) -> Outcome<Outage> {
        let what = format!("another node than {old} keeps what the client brings");
        wait::for_some(&what, patience, || {
            let puts: Vec<Deal> = self.deals().into_iter().filter(|deal| deal.is_put).collect();
            let is_it = |pair: &&[Deal]| {
                pair[1].answered > since && pair[0].node == old && pair[1].node != old
            };
            Ok(puts.windows(2).find(is_it).map(|pair| between(&pair[0], &pair[1])))
        })
    }

    /// The longest time without an acknowledged write since `since`.
    pub fn longest_gap(&self, since: Duration) -> Option<Outage> {
        let puts: Vec<Deal> = self.deals().into_iter().filter(|deal| deal.is_put).collect();
        let gaps = puts.windows(2).filter(|pair| pair[1].answered > since);
        gaps.map(|pair| between(&pair[0], &pair[1])).max_by_key(|outage| outage.length)
    }

    /// Ends the client, and compares what it was told with the numbers that are on the disk; how many were acknowledged.
    pub fn settle(mut self, kept: &[u64]) -> Outcome<usize> {
        self.end();
        // The last lines may still be on their way from the pipe.
        thread::sleep(Duration::from_millis(100));
        judge(&self.deals(), kept)
    }

    fn end(&mut self) {
        // It may have ended with its machine.
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }

    fn deals(&self) -> Vec<Deal> {
        self.deals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.end();
    }
}

fn between(before: &Deal, after: &Deal) -> Outage {
    let length = after.answered.saturating_sub(before.answered);
    Outage { by: after.node.clone(), end: after.answered, length }
}

/// Every acknowledged number is kept, and whoever fetched one got no older one than he knew of: the client asks one
/// thing after the other.
fn judge(deals: &[Deal], kept: &[u64]) -> Outcome<usize> {
    let mut known = 0;
    for deal in deals {
        if deal.number < known {
            let Deal { number, node, .. } = deal;
            return Err(format!("WENT BACK: {node} answers {number} after {known}"));
        }
        known = deal.number;
    }
    if let Some(pair) = kept.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(format!("the numbers on the disk do not rise: {pair:?}"));
    }
    let puts: Vec<u64> = deals.iter().filter(|deal| deal.is_put).map(|deal| deal.number).collect();
    let lost: Vec<&u64> =
        puts.iter().filter(|number| kept.binary_search(number).is_err()).collect();
    match (puts.len(), lost.first()) {
        (0, _) => Err("no write was ever acknowledged".to_owned()),
        (number, None) => Ok(number),
        (number, Some(first)) => Err(format!(
            "LOST: {} of {number} acknowledged writes, the first of them {first}",
            lost.len()
        )),
    }
}

fn collect(output: ChildStdout, sink: &Mutex<Vec<Deal>>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Some(deal) = parse(&line) {
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(deal);
        }
    }
}

fn parse(line: &str) -> Option<Deal> {
    let mut words = line.split(' ');
    Some(Deal {
        answered: Duration::from_micros(words.next()?.parse().ok()?),
        is_put: words.next()? == "put",
        number: words.next()?.parse().ok()?,
        node: words.next()?.to_owned(),
    })
}
