//! Which value does each key of each pool have?

use toml::de::DeValue;

use super::{Field, Fields, kind, table};
use crate::jobfile::keys;
use crate::jobfile::problem::{Complaint, Problems};
use crate::jobfile::proxies::MAX_POOLS;
use crate::jobfile::source::Spot;
use crate::print::escape::quoted;

/// What the keys of all values in pools begin with.
const POOLS: &str = "proxy.pool[";

impl<'a> Fields<'a> {
    /// Where each pool begins.
    pub(in crate::jobfile) fn pools(&self) -> &[Spot] {
        &self.pools
    }

    /// What a pool is called, if its name is a text.
    pub(in crate::jobfile) fn pool_name(&self, place: usize) -> Option<&str> {
        let field = self.get(&keys::pool_key(place, "name"))?;
        field.value.get_ref().as_str()
    }

    /// Takes all pools, in place of those that are there.
    pub(super) fn add_pools(&mut self, field: Field<'a>, problems: &mut Problems) {
        let source = field.key.source.clone();
        let spot = field.spot();
        self.pools.clear();
        self.fields.retain(|key, _| !key.starts_with(POOLS));
        let pools = match field.value.into_inner() {
            DeValue::Array(pools) => pools,
            other @ (DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_)) => {
                let message = format!("expected an array of tables, found {}", kind(&other));
                let help = "begin each pool with [[proxy.pool]]";
                return problems.value(spot, Complaint::new(message).help(help));
            }
        };
        for pool in pools {
            let key = source.spot(pool.span());
            if self.pools.len() == MAX_POOLS {
                let message = format!("at most {MAX_POOLS} pools are taken");
                return problems.value(key, Complaint::new(message));
            }
            let value = pool;
            let Some(table) = table(
                Field {
                    key: key.clone(),
                    value,
                },
                problems,
            ) else {
                continue;
            };
            self.pools.push(key);
            for (key, value) in table {
                let name = key.get_ref().to_string();
                let key = source.spot(key.span());
                self.add_to_pool(self.pools.len() - 1, &name, Field { key, value }, problems);
            }
        }
    }

    fn add_to_pool(&mut self, place: usize, name: &str, field: Field<'a>, problems: &mut Problems) {
        match keys::find_in_pool(name) {
            Some(name) => {
                self.fields.insert(keys::pool_key(place, name), field);
            }
            None => problems.key(field.key, keys::unknown_in_pool(name)),
        }
    }

    /// Replaces one value of the pool that has this name: `proxy.pool.NAME.key`.
    pub(super) fn add_pool_override(
        &mut self,
        path: &str,
        field: Field<'a>,
        problems: &mut Problems,
    ) {
        let Some((pool, key)) = path.rsplit_once('.') else {
            let complaint = Complaint::new("a pool is changed key by key").help(
                "write `--set proxy.pool.NAME.key=value`, or set all pools by `proxy.pool=[..]`",
            );
            return problems.value(field.key, complaint);
        };
        let (pool, key) = (pool.trim(), key.trim());
        let places = 0..self.pools.len();
        let names = || places.clone().filter_map(|place| self.pool_name(place));
        match places
            .clone()
            .find(|place| self.pool_name(*place) == Some(pool))
        {
            Some(place) => self.add_to_pool(place, key, field, problems),
            None => {
                let help = match keys::nearest(pool, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "an override changes a pool that the job file has".to_owned(),
                };
                let message = format!("there is no pool `{}`", quoted(pool));
                problems.value(field.key, Complaint::new(message).help(help));
            }
        }
    }
}
