//! Every command of a developer: `cargo xtask <command>`.
#![forbid(unsafe_code)]

mod api;
mod bench;
mod compare;
mod cost;
mod coverage;
mod crates;
mod demo;
mod etcd;
mod failures;
mod fuzz;
mod goaway;
mod hello;
mod model;
mod mutants;
mod options;
mod passed;
mod proto;
mod runs;
mod scopes;
mod shell;
mod sim;
mod strain;
mod tally;
mod test;
mod tools;
mod workspace;

use options::{Options, Words};
use std::process::ExitCode;

/// The exit code of a command line that makes no sense.
const USAGE: u8 = 2;

const HELP: &str = "\
cargo xtask <command>

  demo      show the client at work against a real etcd
            --runtime tokio|smol|async-std   the adapter, tokio by default
            --endpoints URL,URL              servers that run already
  test      check everything that has to hold, as CI does; the cheap steps come first
            --list         the names of the steps
            --only STEP    some of the steps: --only format,clippy or --only twice
  coverage  compare the conformance cases with the list of scenarios
            --show ID    one scenario, and what covers it
            --list       every scenario with its case
            --no-run     use the results of the last run
  sim       simulate clients and clusters under faults, in virtual time
            --seeds N    how many worlds, 1000 by default
            --from SEED  the first of them, 0 by default
            --seed SEED  one world again; a failing one is shrunk
            --draw       draw that world as a page in target/sim; failing ones are drawn anyway
            --mutants    plant bugs that a thousand worlds have to find
  small-scopes   go through all interleavings of a few events and faults, for watches and leases
  fuzz      look for crashes with random input, needs a nightly toolchain
            [target]     one target; all of them by default
            --seconds N  time for each target, 20 by default
  model     compare the model etcd with real ones on random operations
            --ops N      operations for each version, 40000 by default
            --seed S     the list of one seed
            --version X  one of the versions
  failover  kill, freeze and cut off members of a real cluster under load
            --runtime tokio|smol|async-std|all   tokio by default
            --version X  one of the versions
            --short      three faults, about a minute
  rolling   restart the members of a real cluster one by one under load
            --runtime, --version   as above
  upgrade   take a real cluster from 3.5 to 3.7 and back where it can, one by one under load
            --runtime    as above
            --short      without the way back
  membership   build a real cluster by our calls, change and maintain it, under load
            --short      on the version whose turn it is
            --runtime, --version   as above
  watch-torture   watch real members that are killed, frozen, cut off and compacted every 2 seconds
            --seconds N  for how long, 120 by default
            --seed S     what is drawn from
            --short      12 seconds, on the runtime whose turn it is
            --runtime, --version   as above
  lease-torture   keep leases alive while one member after the other fails, then all of them
            --seconds N  for how long one fails, 120 by default, and each fault at least once
            --seed S     what the order is drawn from
            --short      16 seconds and one outage, on the runtime whose turn it is
            --runtime, --version   as above
  bank      move money by transactions in memory, in worlds and on real members that fail
            --seeds N    how many worlds, 2000 by default
            --seconds N  for how long members fail, 60 by default; 0 for worlds alone
            --seed S     one world again
            --short      60 worlds and 5 seconds, on the runtime whose turn it is
            --runtime, --version   as above
  interop   have the recipes contend with etcd's own tools on a real server
            --short      a few contenders, on the newest version
            --runtime, --version   as above
  recipes-torture   contend for locks, elections and a queue while members fail every 2 seconds
            --seconds N  for how long, 120 by default
            --seed S     what is drawn from
            --short      10 seconds, on the runtime whose turn it is
            --runtime, --version   as above
  contenders   simulated worlds in which clients contend for locks, elections and a queue
            --seeds N, --from S   how many worlds, 10000 by default, from which on
            --seed S     one of them, and the faults that it takes to fail
  soak      look for what only time brings out: pings, lost connections, busy loops
            --minutes N  how long, 10 by default; 0.2 is a short form
            --tls        encrypted, too
            --runtime, --version   as above
  pages     read up to a million keys page by page, and all at once
            --fixed      pages of 1,000 keys, too, which takes minutes
            --runtime tokio|smol|async-std|all   tokio by default
            --version X  one of the versions, the newest by default
  backup    back up hundreds of megabytes over a slow network, and restore them
            --megabytes N   how many, 300 by default
            --runtime tokio|smol|async-std|all   tokio by default
            --version X  one of the versions, all by default
  cancel    drop calls at every stage of their lives, and look at what is left of them
            --calls N    how many, 1000000 by default
            --runtime tokio|smol|async-std   tokio by default
  compare   kill a member under this client and under another one, side by side
            --version X  one of the versions, the newest by default
  goaway    calls through nginx, which ends connections in an orderly way, beside the floor
            --seconds N  for how long with each client and setting, 15 by default
  hello     build a program that puts one key, with this client and another one, and compare
  bench     measure calls beside the floor of h2 and other clients; fails where a target does
            --quick      fewer rounds and rows, two minutes
            --streams    watchers and leases alone
            --save       write bench/results/performance.json, .svg and .md
  cost      instructions, allocations and system calls of a call, which repeat
            --save       write what was measured to bench/results/cost.tsv, to compare with later
  mutants   break the code on purpose and see the tests fail
            --only NAME,NAME   some of the mutants
            --generated CRATE [FILE…]   every small edit of core or client, by cargo-mutants, with
                         quick tests: core's own, or those of the client's modules and of the
                         simulator. Takes hours; fails where fewer than 95 % (core) or 90 % (client)
                         are noticed, of those that are not in xtask/equivalents.txt
            --part K/N   every Nth of them, from the Kth on
  strain    run a command on a machine that is made busy: cargo xtask strain --busy 4 -- COMMAND
            --time-wait N  sockets in TIME_WAIT beside it, renewed every 30 seconds
            --busy N       threads beside it that only use the processor
  api       compare the public paths and signatures with the lists in docs/api
            --save       write the lists
  etcd      fetch the etcd versions for the tests and tell where they are
  proto     generate the protocol's code
            --check      only tell whether it is up to date
";

/// The end of a command.
type ExitResult = Result<ExitCode, etcd3_lab::Error>;

/// A command with the options it takes: those with a value, those without, and what may
/// follow.
struct Subcommand {
    name: &'static str,
    valued: &'static [&'static str],
    plain: &'static [&'static str],
    words: Words,
    run: fn(&Options) -> ExitResult,
}

const COMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "demo",
        valued: &["--runtime", "--endpoints"],
        plain: &[],
        words: Words::Nothing,
        run: demo::run,
    },
    Subcommand {
        name: "test",
        valued: &["--only"],
        plain: &["--list"],
        words: Words::Nothing,
        run: test::run,
    },
    Subcommand {
        name: "coverage",
        valued: &["--show"],
        plain: &["--list", "--no-run"],
        words: Words::Nothing,
        run: coverage::run,
    },
    Subcommand {
        name: "sim",
        valued: &["--seeds", "--from", "--seed"],
        plain: &["--mutants", "--draw"],
        words: Words::Nothing,
        run: sim::run,
    },
    Subcommand {
        name: "small-scopes",
        valued: &[],
        plain: &[],
        words: Words::Nothing,
        run: scopes::run,
    },
    Subcommand {
        name: "fuzz",
        valued: &["--seconds"],
        plain: &[],
        words: Words::One,
        run: fuzz::run,
    },
    Subcommand {
        name: "model",
        valued: &["--ops", "--seed", "--version"],
        plain: &[],
        words: Words::Nothing,
        run: model::run,
    },
    Subcommand {
        name: "failover",
        valued: &["--runtime", "--version"],
        plain: &["--short"],
        words: Words::Nothing,
        run: runs::failover,
    },
    Subcommand {
        name: "rolling",
        valued: &["--runtime", "--version"],
        plain: &[],
        words: Words::Nothing,
        run: runs::rolling,
    },
    Subcommand {
        name: "upgrade",
        valued: &["--runtime"],
        plain: &["--short"],
        words: Words::Nothing,
        run: runs::upgrade,
    },
    Subcommand {
        name: "membership",
        valued: &["--runtime", "--version"],
        plain: &["--short"],
        words: Words::Nothing,
        run: runs::membership,
    },
    Subcommand {
        name: "watch-torture",
        valued: &runs::TORTURE,
        plain: &["--short"],
        words: Words::Nothing,
        run: runs::watch_torture,
    },
    Subcommand {
        name: "lease-torture",
        valued: &runs::TORTURE,
        plain: &["--short"],
        words: Words::Nothing,
        run: runs::lease_torture,
    },
    Subcommand {
        name: "bank",
        valued: &runs::BANK,
        plain: &["--short"],
        words: Words::Nothing,
        run: runs::bank,
    },
    Subcommand {
        name: "interop",
        valued: &["--runtime", "--version"],
        plain: &["--short"],
        words: Words::Nothing,
        run: runs::interop,
    },
    Subcommand {
        name: "recipes-torture",
        valued: &runs::TORTURE,
        plain: &["--short"],
        words: Words::Nothing,
        run: runs::recipes_torture,
    },
    Subcommand {
        name: "contenders",
        valued: &["--seeds", "--from", "--seed"],
        plain: &[],
        words: Words::Nothing,
        run: sim::run_contenders,
    },
    Subcommand {
        name: "pages",
        valued: &["--runtime", "--version"],
        plain: &["--fixed"],
        words: Words::Nothing,
        run: runs::pages,
    },
    Subcommand {
        name: "backup",
        valued: &["--runtime", "--version", "--megabytes"],
        plain: &[],
        words: Words::Nothing,
        run: runs::backup,
    },
    Subcommand {
        name: "soak",
        valued: &["--runtime", "--version", "--minutes"],
        plain: &["--tls"],
        words: Words::Nothing,
        run: runs::soak,
    },
    Subcommand {
        name: "cancel",
        valued: &["--calls", "--runtime"],
        plain: &[],
        words: Words::Nothing,
        run: runs::cancel,
    },
    Subcommand {
        name: "bench",
        valued: &[],
        plain: &["--quick", "--save", "--streams"],
        words: Words::Nothing,
        run: bench::run,
    },
    Subcommand {
        name: "cost",
        valued: &[],
        plain: &["--save"],
        words: Words::Nothing,
        run: cost::run,
    },
    Subcommand {
        name: "compare",
        valued: &["--version"],
        plain: &[],
        words: Words::Nothing,
        run: compare::run,
    },
    Subcommand {
        name: "goaway",
        valued: &["--seconds"],
        plain: &[],
        words: Words::Nothing,
        run: goaway::run,
    },
    Subcommand { name: "hello", valued: &[], plain: &[], words: Words::Nothing, run: hello::run },
    Subcommand {
        name: "mutants",
        valued: &["--only", "--generated", "--part"],
        plain: &[],
        words: Words::Many,
        run: mutants::run,
    },
    Subcommand {
        name: "strain",
        valued: &["--time-wait", "--busy"],
        plain: &[],
        words: Words::Command,
        run: strain::run,
    },
    Subcommand {
        name: "api",
        valued: &[],
        plain: &["--save"],
        words: Words::Nothing,
        run: api::run,
    },
    Subcommand { name: "etcd", valued: &[], plain: &[], words: Words::Nothing, run: etcd::run },
    Subcommand {
        name: "proto",
        valued: &[],
        plain: &["--check"],
        words: Words::Nothing,
        run: proto::run,
    },
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(name) = words.next() else {
        eprint!("{HELP}");
        return ExitCode::from(USAGE);
    };
    let rest: Vec<String> = words.collect();
    if asks_for_help(&name) || rest.iter().any(|word| asks_for_help(word)) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("There is no command {name:?}.\n\n{HELP}");
        return ExitCode::from(USAGE);
    };
    let options = match Options::parse(&rest, command.valued, command.plain, command.words) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            return ExitCode::from(USAGE);
        }
    };
    (command.run)(&options).unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn asks_for_help(word: &str) -> bool {
    matches!(word, "--help" | "-h" | "help")
}
