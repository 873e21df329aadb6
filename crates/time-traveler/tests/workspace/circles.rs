//! Circles of files across folders: a reader of one file of a circle has to read all of them. Files of one folder may import each
//! other.
//!
//! A file imports another if it writes a path into that file's module: `crate::..`, `super::..`, `self::..` or the name of a child
//! module, in a `use` or anywhere in the code.
//!
//! - A path stands for the file of the deepest module that it names. A re-export (`pub use store::ObjectStore`) is followed, so that
//!   no `lib.rs` hides a circle.
//! - A child that uses its parent module does not count: the two are one thing.
//! - Tests and macros' arguments do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

type Name = Vec<String>;

/// The modules of one crate by their names; the crate's root has the empty name.
#[derive(Default)]
pub(crate) struct Modules(BTreeMap<Name, Module>);

#[derive(Default)]
struct Module {
    /// As written, without `use`'s braces.
    paths: BTreeSet<Name>,
    /// Names that `pub use` takes from elsewhere, and their paths as written.
    exports: BTreeMap<String, Name>,
}

impl Modules {
    /// Reads the files of a crate from its root on, `lib.rs` or `main.rs`.
    pub(crate) fn of_crate(source: &Path) -> Self {
        let mut modules = Self::default();
        let root = ["lib.rs", "main.rs"].map(|name| source.join(name)).into_iter().find(|file| file.exists());
        modules.read(Vec::new(), &root.expect("a crate has a root"), source);
        modules
    }

    fn read(&mut self, name: Name, file: &Path, folder: &Path) {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let children = self.add(name.clone(), &text);
        for child in children {
            let file = [folder.join(format!("{child}.rs")), folder.join(&child).join("mod.rs")];
            if let Some(file) = file.iter().find(|file: &&PathBuf| file.exists()) {
                self.read([name.as_slice(), std::slice::from_ref(&child)].concat(), file, &folder.join(&child));
            }
        }
    }

    /// Adds the module of a file and answers with the names of its child modules that lie in other files.
    pub(crate) fn add(&mut self, name: Name, text: &str) -> Vec<String> {
        let mut reading = Reading::default();
        reading.visit_file(&syn::parse_file(text).expect("the compiler has parsed it"));
        self.0.insert(name, reading.module);
        reading.children
    }

    /// The groups of files of different folders that import each other in a circle, each as the imports that tie it.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let imports: BTreeMap<&Name, BTreeSet<&Name>> = self.0.keys().map(|name| (name, self.imports(name))).collect();
        let reach: BTreeMap<&Name, BTreeSet<&Name>> =
            imports.keys().map(|name| (*name, reached(&imports, name))).collect();
        let mut circles: BTreeMap<BTreeSet<&Name>, Vec<String>> = BTreeMap::new();
        for (name, to) in &imports {
            let tied = |other: &&&Name| reach[name].contains(**other) && reach[**other].contains(*name);
            let members: BTreeSet<&Name> = reach[name].iter().filter(tied).copied().collect();
            let folders: BTreeSet<_> = members.iter().map(|name| name.split_last().map(|(_, folder)| folder)).collect();
            if folders.len() < 2 {
                continue;
            }
            for other in to.iter().filter(|other| members.contains(**other)) {
                circles.entry(members.clone()).or_default().push(format!(
                    "{} -> {}",
                    name.join("::"),
                    other.join("::")
                ));
            }
        }
        circles.into_values().collect()
    }

    /// The modules that a module imports: neither itself nor one that it lies in.
    fn imports(&self, name: &Name) -> BTreeSet<&Name> {
        let paths = self.0[name].paths.iter().filter_map(|path| self.absolute(name, path));
        paths.filter_map(|path| self.resolve(path, 8)).filter(|other| !name.starts_with(other)).collect()
    }

    fn absolute(&self, name: &Name, path: &Name) -> Option<Name> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([name.as_slice(), rest].concat()),
            "super" => {
                let (parent, rest) = (name.len().checked_sub(1)?, rest.to_vec());
                let parent = name[..parent].to_vec();
                match rest.first().map(String::as_str) {
                    Some("super") => self.absolute(&parent, &rest),
                    _ => Some([parent, rest].concat()),
                }
            }
            _ => {
                let child = [name.as_slice(), path].concat();
                self.0.contains_key(&child[..=name.len()]).then_some(child)
            }
        }
    }

    /// The module that a path leads to, through at most `exports` re-exports.
    fn resolve(&self, path: Name, exports: usize) -> Option<&Name> {
        let depth = (0..=path.len()).rev().find(|&depth| self.0.contains_key(&path[..depth]))?;
        let (name, module) = self.0.get_key_value(&path[..depth])?;
        let export = path.get(depth).and_then(|next| module.exports.get(next));
        match export.filter(|_| exports > 0).and_then(|export| self.absolute(name, export)) {
            Some(export) => self.resolve([&export, &path[depth + 1..]].concat(), exports - 1),
            None => Some(name),
        }
    }
}

fn reached<'a>(imports: &BTreeMap<&'a Name, BTreeSet<&'a Name>>, from: &'a Name) -> BTreeSet<&'a Name> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Name> = imports[from].iter().copied().collect();
    while let Some(name) = next.pop() {
        if reached.insert(name) {
            next.extend(&imports[name]);
        }
    }
    reached
}

#[derive(Default)]
struct Reading {
    module: Module,
    children: Vec<String>,
}

impl<'ast> Visit<'ast> for Reading {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !attributes.iter().any(is_for_tests) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        match &item.content {
            Some(_) => syn::visit::visit_item_mod(self, item),
            None => self.children.push(item.ident.to_string()),
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut paths = Vec::new();
        spread(&item.tree, &mut Vec::new(), &mut paths);
        for (name, path) in paths {
            if !matches!(item.vis, Visibility::Inherited) {
                self.module.exports.insert(name, path.clone());
            }
            self.module.paths.insert(path);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.module.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }
}

/// Every path of a `use`, with the name that it goes by.
fn spread(tree: &UseTree, before: &mut Name, paths: &mut Vec<(String, Name)>) {
    let mut take = |ident: &syn::Ident, name: &syn::Ident| {
        let path = before.iter().cloned().chain((ident != "self").then(|| ident.to_string()));
        paths.push((name.to_string(), path.collect()));
    };
    match tree {
        UseTree::Name(name) => take(&name.ident, &name.ident),
        UseTree::Rename(name) => take(&name.ident, &name.rename),
        UseTree::Glob(_) => paths.push(("*".to_owned(), before.clone())),
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            spread(&path.tree, before, paths);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| spread(tree, before, paths)),
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    let mut test = false;
    if attribute.path().is_ident("cfg") {
        // `cfg(not(test))` has no path of its own at this level and does not count.
        let _ignored = attribute.parse_nested_meta(|meta| {
            test |= meta.path.is_ident("test");
            Ok(())
        });
    }
    test
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let mut modules = Modules::default();
        for (name, text) in files {
            modules.add(name.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect(), text);
        }
        modules.circles()
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        let root = ("", "mod queue; mod cloud;");
        let cloud = ("cloud::start", "use crate::queue::work::Queue;");
        let files = |queue| [root, ("cloud", "mod start;"), cloud, ("queue", "mod work;"), ("queue::work", queue)];
        assert_eq!(circles(&files("struct Queue;")), Vec::<Vec<String>>::new());
        let tied = [vec!["cloud::start -> queue::work".to_owned(), "queue::work -> cloud::start".to_owned()]];
        assert_eq!(circles(&files("use super::super::cloud::start::Backlog;")), tied);
        assert_eq!(circles(&files("fn f() { crate::cloud::start::start() }")), tied);
    }

    #[test]
    fn a_re_export_hides_no_circle() {
        let files = [
            ("", "mod queue; mod cloud; pub use cloud::Backlog;"),
            ("cloud", "mod backlog; pub use backlog::Backlog;"),
            ("cloud::backlog", "use crate::queue::Queue;"),
            ("queue", "use crate::Backlog;"),
        ];
        assert_eq!(circles(&files), [["cloud::backlog -> queue", "queue -> cloud::backlog"]]);
    }

    #[test]
    fn one_folder_parents_and_tests_do_not_count() {
        let files = [("", "mod a; mod b;"), ("a", "use crate::b::B;"), ("b", "use crate::a::A;")];
        assert_eq!(circles(&files), Vec::<Vec<String>>::new());
        let files =
            [("", "mod s3;"), ("s3", "mod store; use store::Store; pub struct Key;"), ("s3::store", "use super::Key;")];
        assert_eq!(circles(&files), Vec::<Vec<String>>::new());
        let files = [
            ("", "mod a; mod b;"),
            ("a", "mod x;"),
            ("a::x", "use crate::b::B;"),
            ("b", "#[cfg(test)] mod tests { use crate::a::x::A; }"),
        ];
        assert_eq!(circles(&files), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_circle_through_three_folders_is_named_whole() {
        let files = [
            ("", "mod a; mod b; mod c;"),
            ("a", "mod x;"),
            ("a::x", "use crate::b::y::Y;"),
            ("b", "pub mod y;"),
            ("b::y", "use crate::c::Z;"),
            ("c", "use crate::a::x::X;"),
        ];
        assert_eq!(circles(&files), [vec!["a::x -> b::y", "b::y -> c", "c -> a::x"]]);
    }
}
