//! The variables that a client gives a child: the same rule for model servers, training and transform jobs.

use std::collections::BTreeMap;

/// Variables that change what a program of this machine loads, where it looks names up or where its allocator writes, besides `LD_*` and
/// `DYLD_*`: those that glibc itself takes from no privileged program (`sysdeps/generic/unsecvars.h`), without the time zone and the
/// temporary folder, and the settings of jemalloc, which can write profiles to any file.
const OF_LOADER: [&str; 13] = [
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "LOCPATH",
    "MALLOC_CONF",
    "MALLOC_TRACE",
    "NIS_PATH",
    "NLSPATH",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    "_RJEM_MALLOC_CONF",
];

/// Whether a variable would change the loader or the runtime. A container has a loader of its own; here it is this machine's.
pub(crate) fn is_of_loader(variable: &str) -> bool {
    variable.starts_with("LD_") || variable.starts_with("DYLD_") || OF_LOADER.contains(&variable)
}

/// The variables of a client that a child gets. A request with one of the loader's is refused. This holds for records, too, that were
/// written before that rule or by another program.
pub(crate) fn of_client(variables: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    let kept = variables.iter().filter(|(name, _)| {
        let refused = is_of_loader(name);
        if refused {
            tracing::warn!(name, "a variable of the loader is left out");
        }
        !refused
    });
    kept.map(|(name, value)| (name.clone(), value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_loader_reach_no_child() {
        let names = ["A", "LD_PRELOAD", "LD_AUDIT", "GLIBC_TUNABLES", "MALLOC_CONF", "PATH", "DYLD_INSERT_LIBRARIES"];
        let given = names.map(|name| (name.to_owned(), "x".to_owned())).into();
        let kept: Vec<String> = of_client(&given).map(|(name, _)| name).collect();
        assert_eq!(kept, ["A", "PATH"]);
    }
}
