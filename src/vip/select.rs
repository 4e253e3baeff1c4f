//! Which interface an address belongs on: a pure function of what the kernel has.

#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::net::IpAddr;

use super::Wanted;
use crate::error::{Error, Result};
use crate::host::address::{Address, bits, contains, is_link_local};
use crate::host::link::Link;
use crate::host::net::Net;
use crate::host::route::Route;
use crate::param::values::InterfaceName;
use crate::trace_note;

/// What decides.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    /// All interfaces.
    pub links: Vec<Link>,
    /// All addresses of the family, the virtual one left out.
    pub addresses: Vec<Address>,
    /// All unicast routes of the main table and the family.
    pub routes: Vec<Route>,
}

/// Where an address goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The interface.
    pub link: Link,
    /// Length of the prefix.
    pub prefix: u8,
    /// Why this one.
    pub because: String,
    /// Another interface that was as good.
    pub rival: Option<String>,
}

/// The part of [`Wanted`] that decides.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The address.
    pub ip: IpAddr,
    /// The interface, if it is given.
    pub nic: Option<&'a str>,
    /// The prefix length, if it is given.
    pub prefix: Option<u8>,
    /// Only routes of this protocol count.
    pub protocol: Option<u8>,
}

/// How good a reason is: the lowest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// A route says that the subnet is on the link.
    OnLink,
    /// An address is in the subnet, and no route says so.
    Subnet,
    /// A route leads to the subnet through a gateway.
    Gateway,
}

/// A network that contains the address, and the interface which leads there.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    class: Class,
    metric: u32,
    prefix: u8,
    index: u32,
}

impl Candidate {
    /// On-link before routed, then the lowest metric, then the longest prefix, then the oldest interface.
    fn rank(&self) -> (Class, u32, Reverse<u8>, u32) {
        (self.class, self.metric, Reverse(self.prefix), self.index)
    }
}

/// Asks the kernel, and chooses.
///
/// # Errors
/// As [`choose`], or the kernel could not tell.
pub(super) fn in_kernel(wanted: &Wanted, net: &Net) -> Result<Choice> {
    // With both given, nothing depends on what other addresses and routes there are, nor on how many.
    if let (Some(nic), Some(prefix)) = (&wanted.nic, wanted.prefix)
        && let Some(link) = net.link_named(nic.as_str())?
        && !link.port_of.takes_all()
    {
        return Ok(given(&link, prefix));
    }
    let mut addresses = net.addresses(wanted.ip, None)?;
    addresses.retain(|address| address.ip != wanted.ip);
    let dump = Dump { links: net.links()?, addresses, routes: net.routes(wanted.ip)? };
    let question = Question {
        ip: wanted.ip,
        nic: wanted.nic.as_ref().map(InterfaceName::as_str),
        prefix: wanted.prefix,
        protocol: wanted.protocol,
    };
    let choice = choose(&question, &dump)?;
    trace_note!(
        "{}/{} belongs on {}: {}",
        wanted.ip,
        choice.prefix,
        choice.link.name,
        choice.because
    );
    Ok(choice)
}

/// The interface and the prefix length for an address.
///
/// # Errors
/// The interface that is given is not here, or none that is leads to the subnet of the address.
pub fn choose(question: &Question<'_>, dump: &Dump) -> Result<Choice> {
    let named = question.nic.map(|name| find(name, dump)).transpose()?;
    if let Some(link) = named.filter(|link| link.port_of.takes_all()) {
        return Err(misplaced(link, dump));
    }
    if let (Some(link), Some(prefix)) = (named, question.prefix) {
        return Ok(given(link, prefix));
    }
    if named.is_none() && is_link_local(question.ip) {
        return Err(Error::Failed(format!(
            "{} is link-local, so any interface could have it; give nic",
            question.ip
        )));
    }
    let mut candidates = candidates(question, dump);
    candidates.retain(|candidate| named.is_none_or(|link| link.index == candidate.index));
    candidates.sort_by_key(Candidate::rank);
    let Some(best) = candidates.first() else {
        return routeless(question, named, dump).ok_or_else(|| nowhere(question, named, dump));
    };
    let link = link(best.index, dump).ok_or_else(|| nowhere(question, named, dump))?;
    let rival = candidates
        .iter()
        .find(|other| {
            other.index != best.index
                && (other.class, other.metric, other.prefix)
                    == (best.class, best.metric, best.prefix)
        })
        .and_then(|other| self::link(other.index, dump));
    Ok(Choice {
        link: link.clone(),
        prefix: question.prefix.unwrap_or(best.prefix),
        because: reason(best, link),
        rival: rival.map(|link| link.name.clone()),
    })
}

fn given(link: &Link, prefix: u8) -> Choice {
    let because = "nic and cidr_netmask are given".to_owned();
    Choice { link: link.clone(), prefix, because, rival: None }
}

fn reason(best: &Candidate, link: &Link) -> String {
    match best.class {
        Class::OnLink => {
            format!("its /{} route, metric {}, is on {}", best.prefix, best.metric, link.name)
        }
        Class::Subnet => format!("an address of {} is in the same /{}", link.name, best.prefix),
        Class::Gateway => {
            format!(
                "its /{} route, metric {}, goes through {}",
                best.prefix, best.metric, link.name
            )
        }
    }
}

fn find<'a>(name: &str, dump: &'a Dump) -> Result<&'a Link> {
    dump.links.iter().find(|link| link.is_named(name)).ok_or_else(|| {
        let names: Vec<&str> = dump.links.iter().map(|link| link.name.as_str()).take(8).collect();
        Error::Local(format!(
            "there is no interface {name:?} here (nic); there are {}",
            names.join(", ")
        ))
    })
}

fn link(index: u32, dump: &Dump) -> Option<&Link> {
    dump.links.iter().find(|link| link.index == index)
}

/// What arrives at a port is its bond's, its bridge's or its team's.
fn misplaced(port: &Link, dump: &Dump) -> Error {
    let owner = port.controller.and_then(|index| link(index, dump));
    let owner = owner.map_or("another device", |owner| &owner.name);
    Error::Local(format!(
        "{name} is a port of {owner}, which gets what arrives there; set nic={owner}",
        name = port.name
    ))
}

fn candidates(question: &Question<'_>, dump: &Dump) -> Vec<Candidate> {
    // Without nic an address is outside of every VRF.
    let within_reach = |link: &Link| question.nic.is_some() || link.vrf().is_none();
    let usable = |index: u32| {
        link(index, dump)
            .is_some_and(|link| !link.loopback && !link.port_of.takes_all() && within_reach(link))
    };
    // A network shorter than the wanted one contains all of it; a longer one only a part.
    let fits = |prefix: u8| prefix > 0 && question.prefix.is_none_or(|wanted| prefix <= wanted);
    let routed = dump.routes.iter().filter(|route| {
        let protocol = question.protocol.is_none_or(|protocol| protocol == route.protocol);
        protocol
            && fits(route.prefix)
            && usable(route.index)
            && contains(route.network, route.prefix, question.ip)
    });
    // IPv4 addresses behind a gateway are not ours to have; the shell agents differ between the families too.
    let routed =
        routed.filter(|route| route.on_link || question.ip.is_ipv6()).map(|route| Candidate {
            class: if route.on_link { Class::OnLink } else { Class::Gateway },
            metric: route.metric,
            prefix: route.prefix,
            index: route.index,
        });
    let subnets = dump.addresses.iter().filter(|address| {
        question.protocol.is_none()
            && fits(address.prefix)
            && address.prefix < bits(question.ip)
            && usable(address.index)
            && address.subnet_contains(question.ip)
    });
    let subnets = subnets.map(|address| Candidate {
        class: Class::Subnet,
        metric: 0,
        prefix: address.prefix,
        index: address.index,
    });
    routed.chain(subnets).collect()
}

/// What needs no route: a loopback address, anything on a loopback interface that is named, and a link-local address,
/// whose prefix is always the same (RFC 4291, 2.5.6).
fn routeless(question: &Question<'_>, named: Option<&Link>, dump: &Dump) -> Option<Choice> {
    let link = match named {
        Some(link) => link,
        None if question.ip.is_loopback() => dump.links.iter().find(|link| link.loopback)?,
        None => return None,
    };
    let (natural, because) = match question.ip {
        ip if is_link_local(ip) => (64, "it is link-local, and nic is given"),
        IpAddr::V4(ip) if link.loopback && ip.is_loopback() => (8, "it is a loopback address"),
        ip if link.loopback => (bits(ip), "nic is a loopback interface"),
        _ => return None,
    };
    let prefix = question.prefix.unwrap_or(natural);
    Some(Choice { link: link.clone(), prefix, because: because.to_owned(), rival: None })
}

fn nowhere(question: &Question<'_>, named: Option<&Link>, dump: &Dump) -> Error {
    let ip = question.ip;
    let subnet = question.prefix.map_or_else(|| ip.to_string(), |prefix| format!("{ip}/{prefix}"));
    if let Some(link) = named {
        return Error::Failed(format!(
            "cannot tell the prefix length of {ip}: no route or address on {} has its subnet; \
             give cidr_netmask",
            link.name
        ));
    }
    let others: Vec<&str> = dump
        .links
        .iter()
        .filter(|link| !link.loopback)
        .map(|link| link.name.as_str())
        .take(6)
        .collect();
    let here =
        if others.is_empty() { "only loopback is here".to_owned() } else { others.join(", ") };
    Error::Failed(format!(
        "no interface here ({here}) has a route or address whose subnet contains {subnet}; \
         give nic and cidr_netmask"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::link::PortOf;

    fn interface(index: u32, name: &str) -> Link {
        Link { index, name: name.to_owned(), up: true, carrier: true, ..Link::default() }
    }

    fn on_link(network: &str, prefix: u8, index: u32, metric: u32) -> Route {
        let network = network.parse().unwrap();
        Route { network, prefix, index, metric, on_link: true, protocol: 2 }
    }

    fn dump(routes: Vec<Route>) -> Dump {
        let mut lo = interface(1, "lo");
        lo.loopback = true;
        let mut links = vec![lo, interface(2, "eth0"), interface(3, "eth1")];
        links[2].alt_names = vec!["backup".to_owned()];
        Dump { links, addresses: vec![], routes }
    }

    fn asked(ip: &str, nic: Option<&str>, prefix: Option<u8>, dump: &Dump) -> Result<(String, u8)> {
        let question = Question { ip: ip.parse().unwrap(), nic, prefix, protocol: None };
        choose(&question, dump).map(|choice| (choice.link.name, choice.prefix))
    }

    #[test]
    fn lowest_metric_then_longest_prefix() {
        let routes = vec![
            on_link("172.16.0.0", 12, 2, 0),
            on_link("172.20.0.0", 16, 3, 0),
            on_link("172.20.0.0", 24, 2, 100),
        ];
        assert_eq!(
            asked("172.20.0.9", None, None, &dump(routes)).unwrap(),
            ("eth1".to_owned(), 16)
        );
    }

    #[test]
    fn a_given_prefix_takes_only_networks_that_contain_all_of_it() {
        let host = dump(vec![on_link("192.0.2.0", 24, 2, 0)]);
        assert_eq!(asked("192.0.2.9", None, Some(28), &host).unwrap(), ("eth0".to_owned(), 28));
        assert_eq!(asked("192.0.2.9", None, Some(16), &host).unwrap_err().code().number(), 1);
        assert_eq!(
            asked("192.0.2.9", Some("eth1"), Some(16), &host).unwrap(),
            ("eth1".to_owned(), 16)
        );
        assert_eq!(
            asked("192.0.2.9", Some("backup"), Some(16), &host).unwrap(),
            ("eth1".to_owned(), 16)
        );
        assert_eq!(asked("192.0.2.9", Some("eth1"), None, &host).unwrap_err().code().number(), 1);
        assert_eq!(
            asked("192.0.2.9", Some("eth9"), Some(24), &host).unwrap_err().code().number(),
            2
        );
    }

    #[test]
    fn on_link_before_subnet_before_gateway() {
        let gateway = Route { on_link: false, ..on_link("2001:db8::", 64, 2, 0) };
        let mut host = dump(vec![gateway]);
        assert_eq!(asked("2001:db8::9", None, None, &host).unwrap(), ("eth0".to_owned(), 64));
        host.addresses.push(Address::new(3, "2001:db8::1".parse().unwrap(), 48));
        assert_eq!(asked("2001:db8::9", None, None, &host).unwrap(), ("eth1".to_owned(), 48));
        host.routes.push(on_link("2001:db8::", 56, 2, 1024));
        assert_eq!(asked("2001:db8::9", None, None, &host).unwrap(), ("eth0".to_owned(), 56));
    }

    #[test]
    fn default_routes_and_ipv4_gateways_decide_nothing() {
        let gateway = Route { on_link: false, ..on_link("192.0.2.0", 24, 2, 0) };
        let default = on_link("0.0.0.0", 0, 2, 0);
        assert_eq!(
            asked("192.0.2.9", None, None, &dump(vec![gateway, default]))
                .unwrap_err()
                .code()
                .number(),
            1
        );
    }

    #[test]
    fn a_bond_has_the_address_and_its_ports_do_not() {
        let mut host = dump(vec![on_link("192.0.2.0", 24, 2, 0), on_link("192.0.2.0", 24, 4, 0)]);
        host.links[1].controller = Some(4);
        host.links[1].port_of = PortOf::Bond;
        host.links.push(interface(4, "bond0"));
        assert_eq!(asked("192.0.2.9", None, None, &host).unwrap().0, "bond0");
        for prefix in [None, Some(24)] {
            let refused = asked("192.0.2.9", Some("eth0"), prefix, &host).unwrap_err();
            assert_eq!(refused.code().number(), 2);
            assert!(refused.reason().contains("eth0 is a port of bond0"), "{refused}");
        }
    }

    #[test]
    fn a_port_of_a_vrf_is_an_interface_like_others_if_it_is_named() {
        let mut host = dump(vec![on_link("192.0.2.0", 24, 5, 0)]);
        let port = Link { controller: Some(6), port_of: PortOf::Vrf, ..interface(5, "bond0.100") };
        host.links.push(port);
        host.links.push(Link { is_vrf: true, ..interface(6, "vrf0") });
        host.addresses.push(Address::new(6, "192.0.2.1".parse().unwrap(), 24));
        assert_eq!(asked("192.0.2.9", Some("bond0.100"), None, &host).unwrap().1, 24);
        assert_eq!(asked("192.0.2.9", Some("vrf0"), None, &host).unwrap().1, 24);
        assert_eq!(asked("192.0.2.9", None, None, &host).unwrap_err().code().number(), 1);
    }

    #[test]
    fn loopback_addresses_need_no_route() {
        let host = dump(vec![]);
        assert_eq!(asked("127.0.0.3", None, None, &host).unwrap(), ("lo".to_owned(), 8));
        assert_eq!(asked("192.0.2.9", Some("lo"), None, &host).unwrap(), ("lo".to_owned(), 32));
    }

    #[test]
    fn two_interfaces_that_are_as_good_are_told_of() {
        let host = dump(vec![on_link("192.0.2.0", 24, 3, 0), on_link("192.0.2.0", 24, 2, 0)]);
        let question =
            Question { ip: "192.0.2.9".parse().unwrap(), nic: None, prefix: None, protocol: None };
        let choice = choose(&question, &host).unwrap();
        assert_eq!((choice.link.name.as_str(), choice.rival.as_deref()), ("eth0", Some("eth1")));
    }

    #[test]
    fn a_protocol_leaves_only_its_routes() {
        let mut host = dump(vec![on_link("192.0.2.0", 24, 2, 0)]);
        host.routes[0].protocol = 4;
        let question = |protocol| Question {
            ip: "192.0.2.9".parse().unwrap(),
            nic: None,
            prefix: None,
            protocol,
        };
        assert!(choose(&question(Some(4)), &host).is_ok());
        assert!(choose(&question(Some(2)), &host).is_err());
    }

    prop_compose! {
        fn any_route()(bits in any::<u32>(), prefix in 0u8..=32, index in 1u32..6, metric in 0u32..4, on_link in any::<bool>())
            -> Route {
            let network = IpAddr::from(bits.checked_shr(32 - u32::from(prefix)).unwrap_or(0)
                .checked_shl(32 - u32::from(prefix)).unwrap_or(0).to_be_bytes());
            Route { network, prefix, index, metric, on_link, protocol: 2 }
        }
    }

    proptest! {
        /// Whatever the host looks like: the choice is an interface that is there, is none of a bond's ports, and no
        /// other network that fits is on-link with a lower metric, or the same metric and a longer prefix. And the
        /// order in which the kernel lists things does not matter.
        #[test]
        fn the_choice_is_the_best_and_does_not_depend_on_order(
            routes in proptest::collection::vec(any_route(), 0..12),
            ip in any::<u32>(),
            prefix in proptest::option::of(1u8..=32),
            nic in proptest::option::of(prop_oneof![Just("eth0"), Just("backup"), Just("nowhere")]),
            enslaved in any::<bool>(),
        ) {
            let mut host = dump(routes);
            host.links.push(interface(4, "br0"));
            if enslaved {
                host.links[1].controller = Some(4);
                host.links[1].port_of = PortOf::Bond;
            }
            let question = Question { ip: IpAddr::from(ip.to_be_bytes()), nic, prefix, protocol: None };
            let chosen = choose(&question, &host);
            let mut backwards = host.clone();
            backwards.routes.reverse();
            prop_assert_eq!(&choose(&question, &backwards), &chosen);
            if let Ok(choice) = chosen {
                prop_assert!(host.links.contains(&choice.link));
                prop_assert!(nic.is_none_or(|nic| choice.link.is_named(nic)));
                prop_assert!(choice.link.port_of == PortOf::Nothing);
                prop_assert!(prefix.is_none_or(|prefix| choice.prefix == prefix));
                if nic.is_none() && !choice.link.loopback {
                    let better = host.routes.iter().filter(|route| {
                        let usable = [3, 4].contains(&route.index) || (route.index == 2 && !enslaved);
                        usable && route.on_link && route.prefix > 0
                            && contains(route.network, route.prefix, question.ip)
                            && prefix.is_none_or(|prefix| route.prefix <= prefix)
                    });
                    let best = better.min_by_key(|route| (route.metric, Reverse(route.prefix))).unwrap();
                    let same = host.routes.iter().any(|route| route.index == choice.link.index
                        && (route.metric, route.prefix) == (best.metric, best.prefix));
                    prop_assert!(same, "{choice:?} {best:?}");
                }
            }
        }
    }
}
