//! `netns route`.

use super::line::WordLine;
use super::route_change::{self, RouteVerb};
use super::words::{IpFamily, Keyword, Phrase, Takes, kind_of_routes, other, short, whole};
use super::{index, names, route_get, route_show, route_values};
use crate::failure::Failure;
use netns_core::route::{self, DescribedRoute, Protocol, RouteKind, Scope};
use netns_core::{IpNet, RouteSocket};
use std::net::IpAddr;

/// `RT_TABLE_MAIN`.
const MAIN: u32 = 254;
/// `RTM_F_CLONED`: cached routes.
const CLONED: u32 = 0x200;

pub(super) const VERBS: &[Keyword<RouteVerb>] = &[
    short("add", Takes::Nothing, RouteVerb::Add),
    short("change", Takes::Nothing, RouteVerb::Change),
    whole("chg", Takes::Nothing, RouteVerb::Change),
    short("replace", Takes::Nothing, RouteVerb::Replace),
    short("prepend", Takes::Nothing, RouteVerb::Prepend),
    short("append", Takes::Nothing, RouteVerb::Append),
    short("test", Takes::Nothing, RouteVerb::Test),
    short("delete", Takes::Nothing, RouteVerb::Delete),
    short("list", Takes::Nothing, RouteVerb::Show),
    short("show", Takes::Nothing, RouteVerb::Show),
    short("lst", Takes::Nothing, RouteVerb::Show),
    short("get", Takes::Nothing, RouteVerb::Get),
    short("flush", Takes::Nothing, RouteVerb::Flush),
    short("save", Takes::Refused, RouteVerb::Show),
    short("restore", Takes::Refused, RouteVerb::Show),
    short("showdump", Takes::Refused, RouteVerb::Show),
];

/// Which routes are shown, or flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteFilter {
    Table,
    Protocol,
    Scope,
    Kind,
    Dev,
    Metric,
    Via,
    Source,
    To,
    Refused,
}

pub(super) const SHOW: &[Keyword<RouteFilter>] = &[
    short("table", Takes::Value, RouteFilter::Table),
    short("vrf", Takes::Refused, RouteFilter::Refused),
    short("cached", Takes::Refused, RouteFilter::Refused),
    short("cloned", Takes::Refused, RouteFilter::Refused),
    whole("tos", Takes::Refused, RouteFilter::Refused),
    short("dsfield", Takes::Refused, RouteFilter::Refused),
    short("protocol", Takes::Value, RouteFilter::Protocol),
    short("scope", Takes::Value, RouteFilter::Scope),
    short("type", Takes::Value, RouteFilter::Kind),
    whole("dev", Takes::Value, RouteFilter::Dev),
    whole("oif", Takes::Value, RouteFilter::Dev),
    whole("iif", Takes::Refused, RouteFilter::Refused),
    whole("mark", Takes::Refused, RouteFilter::Refused),
    short("metric", Takes::Value, RouteFilter::Metric),
    short("priority", Takes::Value, RouteFilter::Metric),
    whole("preference", Takes::Value, RouteFilter::Metric),
    whole("via", Takes::Via, RouteFilter::Via),
    whole("src", Takes::Value, RouteFilter::Source),
    short("realms", Takes::Refused, RouteFilter::Refused),
    short("from", Takes::Refused, RouteFilter::Refused),
    short("to", Takes::Selector, RouteFilter::To),
    other(Takes::Selector, RouteFilter::To),
];

pub(super) fn route(line: &mut WordLine) -> Result<(), Failure> {
    match line.verb(VERBS, RouteVerb::Show)? {
        RouteVerb::Show => {
            let phrases = line.phrases(SHOW)?;
            let mut socket = line.manner.open()?;
            let wanted = WantedRoutes::read(line, &mut socket, &phrases)?;
            let mut routes = route::list_described(&mut socket)?;
            routes.retain(|route| wanted.lets(route));
            let names = names(&mut socket)?;
            route_show::show(&line.manner, &routes, &names, wanted.hidden())
        }
        RouteVerb::Flush => {
            let phrases = line.phrases(SHOW)?;
            if phrases.is_empty() {
                return Err(Failure::Usage(format!("`{}`: which routes?", line.about)));
            }
            let mut socket = line.manner.open()?;
            let wanted = WantedRoutes::read(line, &mut socket, &phrases)?;
            // Deleting one route can delete others.
            for _ in 0..10 {
                let mut routes = route::list_described(&mut socket)?;
                routes.retain(|route| wanted.lets(route));
                if routes.is_empty() {
                    break;
                }
                for route in &routes {
                    route_change::delete(&mut socket, route)?;
                }
            }
            Ok(())
        }
        RouteVerb::Get => {
            let phrases = line.phrases(route_get::GET_WORDS)?;
            let mut socket = line.manner.open()?;
            let mut request = route_get::get(line, &mut socket, &phrases)?;
            let found = route::find(&mut socket, &mut request)?;
            let names = names(&mut socket)?;
            route_show::show(&line.manner, &[found], &names, route_show::Hidden::default())
        }
        verb => route_change::change(line, verb),
    }
}

/// Which routes are meant.
#[derive(Default)]
struct WantedRoutes {
    /// `None` for both.
    family: Option<IpFamily>,
    /// `None` for all.
    table: Option<u32>,
    protocol: Option<Protocol>,
    scope: Option<Scope>,
    kind: Option<RouteKind>,
    index: Option<u32>,
    metric: Option<u32>,
    via: Option<IpNet>,
    source: Option<IpNet>,
    /// The destination is within this network, ...
    root: Option<IpNet>,
    /// ... and contains this one.
    matching: Option<IpNet>,
}

impl WantedRoutes {
    fn read(
        line: &WordLine,
        socket: &mut RouteSocket,
        phrases: &[Phrase<RouteFilter>],
    ) -> Result<Self, Failure> {
        let family = line.manner.family;
        let mut wanted = Self { family, table: Some(MAIN), ..Self::default() };
        for phrase in phrases {
            let is_all = phrase.value() == "all";
            match phrase.act {
                RouteFilter::Table if is_all => wanted.table = None,
                RouteFilter::Table => {
                    wanted.table = Some(route_values::table(phrase)?).filter(|&table| table != 0);
                }
                RouteFilter::Protocol | RouteFilter::Scope if is_all => {}
                RouteFilter::Protocol => wanted.protocol = Some(route_values::protocol(phrase)?),
                RouteFilter::Scope => wanted.scope = Some(route_values::scope(phrase)?),
                RouteFilter::Kind => {
                    let kind = kind_of_routes(phrase.value());
                    wanted.kind = Some(kind.ok_or_else(|| phrase.wrong("not a type of route"))?);
                }
                RouteFilter::Dev => wanted.index = Some(index(socket, phrase.value())?),
                RouteFilter::Metric => wanted.metric = Some(phrase.number32()?),
                RouteFilter::Via => {
                    let said =
                        if let [said, _] = &phrase.values[..] { IpFamily::named(said) } else { family };
                    wanted.via = Some(phrase.net(said)?);
                }
                RouteFilter::Source => wanted.source = Some(phrase.net(family)?),
                RouteFilter::To => wanted.destination(phrase, family)?,
                RouteFilter::Refused => {}
            }
        }
        // What `ip` asks the kernel for.
        if wanted.family.is_none() && wanted.table.is_some() {
            wanted.family = Some(IpFamily::Inet);
        }
        Ok(wanted)
    }

    fn destination(&mut self, phrase: &Phrase<RouteFilter>, family: Option<IpFamily>) -> Result<(), Failure> {
        let selector = if let [selector, _] = &phrase.values[..] { selector.as_str() } else { "exact" };
        let net = match phrase.value() {
            "default" => {
                let like: IpAddr = match family.unwrap_or(IpFamily::Inet) {
                    IpFamily::Inet => [0; 4].into(),
                    IpFamily::Inet6 => [0_u16; 8].into(),
                };
                IpNet::everything(like)
            }
            _ => phrase.net(family)?,
        };
        let (is_root, is_match) = ("root".starts_with(selector), "match".starts_with(selector));
        self.root = (is_root || !is_match).then_some(net);
        self.matching = (is_match || !is_root).then_some(net);
        Ok(())
    }

    fn lets(&self, described: &DescribedRoute) -> bool {
        let route = &described.route;
        let to = route.destination;
        let gateway = route.gateway.or(route.via.map(IpAddr::from));
        let holds = |net: Option<IpNet>, address: Option<IpAddr>| {
            net.is_none_or(|net| address.is_some_and(|address| net.contains(address)))
        };
        route.flags & CLONED == 0
            && self.family.is_none_or(|family| family.is_of(to.address()))
            && self.table.is_none_or(|table| table == route.table)
            && self.protocol.is_none_or(|protocol| protocol == route.protocol)
            && self.scope.is_none_or(|scope| scope == route.scope)
            && self.kind.is_none_or(|kind| kind == route.kind)
            && self.index.is_none_or(|index| Some(index) == route.index)
            && self.metric.is_none_or(|metric| metric == route.metric.unwrap_or(0))
            && holds(self.via, gateway)
            && holds(self.source, route.source)
            && self.root.is_none_or(|net| net.prefix() <= to.prefix() && net.contains(to.address()))
            && self.matching.is_none_or(|net| to.prefix() <= net.prefix() && to.contains(net.address()))
    }

    /// What `ip` leaves out where it was asked for.
    fn hidden(&self) -> route_show::Hidden {
        let is_single = |net: Option<IpNet>| net.is_some_and(|net| net == IpNet::single(net.address()));
        route_show::Hidden {
            protocol: self.protocol.is_some(),
            scope: self.scope.is_some(),
            dev: self.index.is_some(),
            metric: self.metric.is_some(),
            gateway: is_single(self.via),
            source: is_single(self.source),
            table: self.table.is_some(),
        }
    }
}
