//! What the live view shows, and what keys do to it. It knows no terminal.

use super::column::{Column, Order, TableRow};
use super::history::History;
use super::theme::Theme;
use netns_ebpf::packet::Reason;
use netns_ebpf::{PortIdentity, PortRates, PortReading, Reading, Slot, Violation};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many of the latest violations are kept.
const LATEST: usize = 256;

/// What is shown below the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::watch) enum Pane {
    /// Nothing.
    None,
    /// The selected port.
    Port,
    /// The pairs.
    Pairs,
    /// The latest violations.
    Violations,
    /// Verdicts by destination.
    Destinations,
    /// Where frames went and came from.
    Scopes,
    /// Limits, and what was over them.
    Limits,
}

/// What keys are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ViewMode {
    /// The table.
    Browse,
    /// Writing the filter.
    Filter,
    /// Reading what keys do.
    Help,
}

/// The state of the view.
#[derive(Debug)]
pub(in crate::watch) struct App {
    pub(super) network: String,
    pub(super) theme: Theme,
    started: Instant,
    /// The last reading, shown or not.
    latest: Option<Arc<Reading>>,
    /// The reading that is shown.
    pub(super) shown: Option<Arc<Reading>>,
    rates: Vec<PortRates>,
    /// The ports that are shown, filtered and sorted.
    pub(super) rows: Vec<TableRow>,
    histories: HashMap<Slot, History>,
    /// Frames per reading, of each reason that a port gave.
    reasons: HashMap<(Slot, Reason), History>,
    /// The latest violations, with the time at which they were reported: those that are shown, and those since a pause.
    pub(super) violations: VecDeque<(Duration, Violation)>,
    waiting: VecDeque<(Duration, Violation)>,
    pub(super) order: Order,
    pub(super) filter: String,
    pub(super) mode: ViewMode,
    pub(super) paused: bool,
    selected: Option<Slot>,
    /// The first line of the table that is shown, and how many are.
    pub(super) first: usize,
    pub(super) page: usize,
    pub(super) pane: Pane,
    /// Of the port that the pane shows.
    pub(super) addresses: Vec<String>,
    pub(super) policy: Option<String>,
    pub(super) message: Option<String>,
    over: bool,
}

impl App {
    pub(in crate::watch) fn new(network: &str, theme: Theme) -> Self {
        Self {
            network: network.to_owned(),
            theme,
            started: Instant::now(),
            latest: None,
            shown: None,
            rates: Vec::new(),
            rows: Vec::new(),
            histories: HashMap::new(),
            reasons: HashMap::new(),
            violations: VecDeque::new(),
            waiting: VecDeque::new(),
            order: Order::by(Column::RxBits),
            filter: String::new(),
            mode: ViewMode::Browse,
            paused: false,
            selected: None,
            first: 0,
            page: 1,
            pane: Pane::None,
            addresses: Vec::new(),
            policy: None,
            message: None,
            over: false,
        }
    }

    /// Takes a new reading.
    pub(in crate::watch) fn update(&mut self, reading: Arc<Reading>) {
        let before = self.latest.replace(Arc::clone(&reading)).unwrap_or_else(|| Arc::clone(&reading));
        if self.paused {
            return;
        }
        self.rates = reading.rates(&before);
        self.remember(&reading, &before);
        self.shown = Some(reading);
        self.violations.append(&mut self.waiting);
        let many = self.violations.len().saturating_sub(LATEST);
        self.violations.drain(..many);
        self.arrange();
    }

    /// Takes violations. They are shown with the next reading.
    pub(in crate::watch) fn add_violations(&mut self, violations: Vec<Violation>) {
        let time = self.started.elapsed();
        self.waiting.extend(violations.into_iter().map(|violation| (time, violation)));
        let many = self.waiting.len().saturating_sub(LATEST);
        self.waiting.drain(..many);
    }

    /// Adds what passed since the last reading to the histories of the present ports.
    fn remember(&mut self, reading: &Reading, before: &Reading) {
        let mut histories = std::mem::take(&mut self.histories);
        let mut reasons = std::mem::take(&mut self.reasons);
        for (port, rates) in reading.ports.iter().zip(&self.rates) {
            let slot = port.info.slot;
            let mut history = histories.remove(&slot).unwrap_or_default();
            history.push(rates.rx.bits.saturating_add(rates.tx.bits));
            self.histories.insert(slot, history);
        }
        let violating = |port: &&PortReading| port.violations.is_some_and(|all| all.total() > 0);
        if !reading.ports.iter().any(|port| violating(&port)) {
            return;
        }
        let (all, since) = (&reading.ports, reading.since(before));
        for (port, since) in all.iter().zip(&since).filter(|(port, _)| violating(port)) {
            let (Some(all), Some(since)) = (&port.violations, &since.violations) else { continue };
            for (reason, _) in all.iter() {
                let key = (port.info.slot, reason);
                let mut history = reasons.remove(&key).unwrap_or_default();
                history.push(since.of(reason));
                self.reasons.insert(key, history);
            }
        }
    }

    /// Filters and sorts anew.
    fn arrange(&mut self) {
        let filter = self.filter.to_lowercase();
        let ports = self.shown.iter().flat_map(|reading| &reading.ports).zip(&self.rates);
        let rows = ports.map(|(port, &rates)| TableRow {
            info: Arc::clone(&port.info),
            counters: port.counters,
            violations: port.violations.map(|violations| violations.total()),
            rates,
        });
        self.rows = rows.filter(|row| filter.is_empty() || matches(&row.info, &filter)).collect();
        self.order.sort(&mut self.rows);
        if self.selected.is_none_or(|slot| self.rows.iter().all(|row| row.info.slot != slot)) {
            self.selected = self.rows.first().map(|row| row.info.slot);
        }
    }

    pub(super) fn history(&self, slot: Slot) -> Option<&History> {
        self.histories.get(&slot)
    }

    /// How often a port gave a reason, reading by reading.
    pub(super) fn reason(&self, slot: Slot, reason: Reason) -> Option<&History> {
        self.reasons.get(&(slot, reason))
    }

    pub(super) fn time(&self) -> Duration {
        self.shown.as_ref().map_or(Duration::ZERO, |reading| reading.taken - self.started)
    }

    /// The selected line.
    pub(super) fn selected(&self) -> Option<usize> {
        self.rows.iter().position(|row| Some(row.info.slot) == self.selected)
    }

    /// The port that the pane shows.
    pub(super) fn shown_port(&self) -> Option<Arc<PortIdentity>> {
        let row = &self.rows[self.selected().filter(|_| self.pane == Pane::Port)?];
        Some(Arc::clone(&row.info))
    }

    pub(super) fn set_port(&mut self, addresses: Vec<String>, policy: Option<String>) {
        (self.addresses, self.policy) = (addresses, policy);
    }

    pub(super) fn set_message(&mut self, message: Option<String>) {
        self.message = message;
    }

    pub(in crate::watch) fn show(&mut self, pane: Pane) {
        self.pane = if self.pane == pane { Pane::None } else { pane };
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// A key was pressed.
    pub(super) fn key(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            // In raw mode the terminal sends no signal.
            self.over |= key.code == KeyCode::Char('c');
            return;
        }
        match self.mode {
            ViewMode::Browse => self.browse(key.code),
            ViewMode::Filter => self.edit(key.code),
            ViewMode::Help => {
                self.mode = ViewMode::Browse;
                self.over |= key.code == KeyCode::Char('q');
            }
        }
    }

    fn browse(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char('q') => self.over = true,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.mode = ViewMode::Help,
            KeyCode::Char('/') => self.mode = ViewMode::Filter,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('m') => self.show(Pane::Pairs),
            KeyCode::Char('v') => self.show(Pane::Violations),
            KeyCode::Char('d') => self.show(Pane::Destinations),
            KeyCode::Char('s') => self.show(Pane::Scopes),
            KeyCode::Char('l') => self.show(Pane::Limits),
            KeyCode::Enter => self.show(Pane::Port),
            KeyCode::Esc => self.escape(),
            KeyCode::Char('<') | KeyCode::Left => self.sort(self.order.moved(-1)),
            KeyCode::Char('>') | KeyCode::Right => self.sort(self.order.moved(1)),
            KeyCode::Char('r') => {
                self.sort(Order { descending: !self.order.descending, ..self.order });
            }
            KeyCode::Char(digit @ '1'..='9') => {
                self.sort(Order::by(Column::ALL[digit as usize - '1' as usize]));
            }
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-self.page.cast_signed()),
            KeyCode::PageDown => self.step(self.page.cast_signed()),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN / 2),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX / 2),
            _ => {}
        }
    }

    fn edit(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.mode = ViewMode::Browse,
            KeyCode::Esc => {
                self.mode = ViewMode::Browse;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(character) => self.filter.push(character),
            _ => return,
        }
        self.arrange();
    }

    /// Closes what is open, one thing at a time.
    fn escape(&mut self) {
        if self.pane != Pane::None {
            self.pane = Pane::None;
        } else if !self.filter.is_empty() {
            self.filter.clear();
            self.arrange();
        }
    }

    fn sort(&mut self, order: Order) {
        self.order = order;
        self.arrange();
    }

    /// Selects another line.
    fn step(&mut self, by: isize) {
        let last = self.rows.len().saturating_sub(1).cast_signed();
        let place = self.selected().map_or(0, |place| place.cast_signed().saturating_add(by).clamp(0, last));
        self.selected = self.rows.get(place.cast_unsigned()).map(|row| row.info.slot);
    }
}

/// Whether a port's name, or the name behind it, contains the filter.
fn matches(port: &PortIdentity, filter: &str) -> bool {
    port.name.to_string().to_lowercase().contains(filter)
        || port.behind.label().to_lowercase().contains(filter)
}
