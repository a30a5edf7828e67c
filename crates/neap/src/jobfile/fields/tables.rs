//! Which value does each key of each table have, where a key is many tables?

use toml::de::DeValue;

use super::{Field, Fields, kind, table};
use crate::jobfile::keys::{self, POOLS, Tables};
use crate::jobfile::problem::{Complaint, Problems};
use crate::jobfile::source::Spot;
use crate::print::escape::quoted;

impl<'a> Fields<'a> {
    /// Where each of these tables begins.
    pub(in crate::jobfile) fn tables(&self, tables: &Tables) -> &[Spot] {
        self.tables.get(tables.key).map_or(&[], Vec::as_slice)
    }

    /// What a pool is called, if its name is a text.
    pub(in crate::jobfile) fn pool_name(&self, place: usize) -> Option<&str> {
        let field = self.get(&POOLS.key_in(place, "name"))?;
        field.value.get_ref().as_str()
    }

    /// Takes all tables of a key, in place of those that are there.
    pub(super) fn add_tables(
        &mut self,
        tables: &'static Tables,
        field: Field<'a>,
        problems: &mut Problems,
    ) {
        let source = field.key.source.clone();
        let spot = field.spot();
        self.tables.remove(tables.key);
        let begin = format!("{}[", tables.key);
        self.fields.retain(|key, _| !key.starts_with(&begin));
        let elements = match field.value.into_inner() {
            DeValue::Array(elements) => elements,
            other @ (DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_)) => {
                let message = format!("expected an array of tables, found {}", kind(&other));
                let help = format!("begin each {} with [[{}]]", tables.one, tables.key);
                return problems.value(spot, Complaint::new(message).help(help));
            }
        };
        let mut spots = Vec::new();
        for value in elements {
            let key = source.spot(value.span());
            if spots.len() == tables.most {
                let message = format!("at most {} {}s are taken", tables.most, tables.one);
                problems.value(key, Complaint::new(message));
                break;
            }
            let (place, field) = (
                spots.len(),
                Field {
                    key: key.clone(),
                    value,
                },
            );
            let Some(table) = table(field, problems) else {
                continue;
            };
            spots.push(key);
            for (key, value) in table {
                let name = key.get_ref().to_string();
                let key = source.spot(key.span());
                self.add_to_table(tables, place, &name, Field { key, value }, problems);
            }
        }
        self.tables.insert(tables.key, spots);
    }

    fn add_to_table(
        &mut self,
        tables: &Tables,
        place: usize,
        name: &str,
        field: Field<'a>,
        problems: &mut Problems,
    ) {
        if tables.has_section(name) {
            let source = field.key.source.clone();
            for (key, value) in table(field, problems).into_iter().flatten() {
                let name = format!("{name}.{}", key.get_ref());
                let key = source.spot(key.span());
                self.add_to_table(tables, place, &name, Field { key, value }, problems);
            }
            return;
        }
        match tables.find(name) {
            Some(name) => {
                self.fields.insert(tables.key_in(place, name), field);
            }
            None => problems.key(field.key, tables.unknown(name)),
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
        let places = 0..self.tables(&POOLS).len();
        let names = || places.clone().filter_map(|place| self.pool_name(place));
        match places
            .clone()
            .find(|place| self.pool_name(*place) == Some(pool))
        {
            Some(place) => self.add_to_table(&POOLS, place, key, field, problems),
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
