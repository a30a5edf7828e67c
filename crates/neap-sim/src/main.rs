//! Runs scenario files against limiters and prints how well they did.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};
use miette::{Context, IntoDiagnostic, Result, miette};
use neap_sim::algorithm::Choice;
use neap_sim::client::Rules;
use neap_sim::measure::judge;
use neap_sim::{oracle, proxies, report, scenario, simulation};

/// Judges the per-host limiter against modelled hosts, in virtual time.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// A file of scenarios.
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// Seeds to take the mean over: one, or a range A..B (B included), or a list A,B,C.
    #[arg(long, default_value = "1000..1005")]
    seeds: Seeds,
    /// How the scores are printed.
    #[arg(long, default_value = "table")]
    format: Format,
    /// Only this scenario.
    #[arg(long)]
    only: Option<String>,
    /// neap, fixed:K, aimd or gradient2.
    #[arg(long, default_value = "neap")]
    algorithm: Choice,
    /// Whose rules the clients keep, that of the oracle included: own (neap's scheduler for neap, a plain
    /// client for the rest), header (a plain client for all) or neap (neap's scheduler for all).
    #[arg(long, default_value_t)]
    client: Rules,
    /// Begin each run with what a run before it remembered.
    #[arg(long)]
    warm: bool,
    /// Write limit and requests in flight of the first seed here, as CSV. Needs --only.
    #[arg(long, requires = "only")]
    trace: Option<PathBuf>,
    /// Draw limit, requests in flight and failures of the first seed here, as SVG. Needs --only.
    #[arg(long, requires = "only")]
    plot: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judges how soon bad proxies are found, and how many good ones are accused.
    Proxies {
        /// Seeds to take the mean over, as above.
        #[arg(long, default_value = "1000..1099")]
        seeds: Seeds,
        /// How the scores are printed.
        #[arg(long, default_value = "table")]
        format: Format,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Debug, Clone)]
struct Seeds(Vec<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seeds, String> {
        let number = |part: &str| {
            part.trim()
                .parse::<u64>()
                .map_err(|e| format!("{part:?}: {e}"))
        };
        let seeds: Vec<u64> = match text.split_once("..") {
            Some((from, to)) => (number(from)?..=number(to.trim_start_matches('='))?).collect(),
            None => text.split(',').map(number).collect::<Result<_, _>>()?,
        };
        if seeds.is_empty() || seeds.len() > 1000 {
            return Err("1 to 1000 seeds".to_owned());
        }
        Ok(Seeds(seeds))
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(Command::Proxies { seeds, format }) = &arguments.command {
        return judge_proxies(&seeds.0, *format);
    }
    let seeds = &arguments.seeds.0;
    let file = arguments.file.as_ref().expect("required without a command");
    let mut scenarios = scenario::read(file)
        .into_diagnostic()
        .with_context(|| format!("{}", file.display()))?;
    if let Some(only) = &arguments.only {
        scenarios.retain(|scenario| scenario.name == *only);
        if scenarios.is_empty() {
            return Err(miette!("there is no scenario {only:?} in the file"));
        }
    }
    let mut scores = Vec::new();
    for scenario in &scenarios {
        let (algorithm, rules) = (arguments.algorithm, arguments.client);
        let score = oracle::best_per_phase(scenario, rules)
            .and_then(|best| judge(scenario, &best, algorithm, rules, seeds, arguments.warm))
            .into_diagnostic()
            .with_context(|| format!("scenario {}", scenario.name))?;
        scores.push(score);
    }
    match arguments.format {
        Format::Table => print!("{}", report::table(&scores)),
        Format::Json => println!(
            "{}",
            serde_json::to_string_pretty(&scores).into_diagnostic()?
        ),
    }
    if let [scenario] = &scenarios[..]
        && (arguments.trace.is_some() || arguments.plot.is_some())
    {
        let (algorithm, rules) = (arguments.algorithm, arguments.client);
        let history = simulation::run(scenario, algorithm, rules, seeds[0], None, true);
        let history = history.into_diagnostic()?;
        let write = |path: &Option<PathBuf>, text: String| match path {
            Some(path) => std::fs::write(path, text)
                .into_diagnostic()
                .with_context(|| format!("writing {}", path.display())),
            None => Ok(()),
        };
        write(&arguments.trace, report::trace_csv(&history))?;
        write(&arguments.plot, report::plot_svg(&scenario.name, &history))?;
    }
    Ok(())
}

fn judge_proxies(seeds: &[u64], format: Format) -> Result<()> {
    let scores = proxies::MIXES.map(|mix| proxies::score(&mix, seeds));
    match format {
        Format::Table => print!("{}", proxies::table(&scores)),
        Format::Json => println!(
            "{}",
            serde_json::to_string_pretty(&scores).into_diagnostic()?
        ),
    }
    Ok(())
}
