//! Serves every hostile case that the testkit knows, for people who want to point something at it by hand.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use neap_testkit::hostile::{Bounds, FAMILIES, Hostile, HostileBuilder, MAX_HOSTS};

const USAGE: &str = "\
usage: hostile [options]     serves until it is killed; prints its ports as one JSON object
  --seed N           what all that looks random follows from (1)
  --hosts N          addresses, 127.0.0.1 and on; 1 to 20 (1)
  --port N           port for plain HTTP; 0 is a free one (0)
  --max-bytes N      where a body or header without end does end (8589934592)
  --max-secs N       longest time of one connection (600)
  --log FILE         writes each request that has ended as a JSON line
  --port-file FILE   writes the ports there, too
  --ca-file FILE     writes the certificate of the authority behind its good TLS hosts, as PEM
A client that asks the name server printed as `dns` finds every name below hostile.internal; another one is told by
`curl --connect-to ::127.0.0.1:PORT http://s-502.hostile.internal:PORT/s/502`. `tls` has a port for each TLS case, `full` never
accepts, `refusing` refuses, and whoever connects to `trap` followed bait that it should not have.

";

/// What was asked for on the command line.
#[derive(Default)]
struct Options {
    builder: Option<HostileBuilder>,
    port_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{USAGE}{FAMILIES}");
        return ExitCode::SUCCESS;
    }
    let options = match options(&args) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve(options) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut builder = Hostile::builder();
    let mut bounds = Bounds::default();
    for pair in args.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("{} needs a value", pair[0]));
        };
        let number = |most: u64| match value.parse::<u64>() {
            Ok(number) if number <= most => Ok(number),
            Ok(_) | Err(_) => Err(format!("{name} {value:?} is not a number up to {most}")),
        };
        match name.as_str() {
            "--seed" => builder = builder.seed(number(u64::MAX)?),
            "--hosts" => builder = builder.hosts(number(MAX_HOSTS.into())? as u8),
            "--port" => builder = builder.port(number(u16::MAX.into())? as u16),
            "--max-bytes" => bounds.bytes = number(1 << 50)?,
            "--max-secs" => bounds.time = Duration::from_secs(number(1 << 30)?),
            "--log" => builder = builder.log(value.into()),
            "--port-file" => options.port_file = Some(value.into()),
            "--ca-file" => options.ca_file = Some(value.into()),
            _ => return Err(format!("{name} is not an option")),
        }
    }
    options.builder = Some(builder.bounds(bounds));
    Ok(options)
}

fn serve(options: Options) -> std::io::Result<std::convert::Infallible> {
    let builder = options.builder.unwrap_or_else(Hostile::builder);
    let hostile = builder.start()?;
    let ports = hostile.ports();
    if let Some(file) = options.ca_file {
        hostile.authority().write_pem(&file)?;
    }
    if let Some(file) = options.port_file {
        std::fs::write(file, format!("{ports}\n"))?;
    }
    println!("{ports}");
    loop {
        std::thread::park();
    }
}
