//! The classes of a data set.

use std::borrow::Cow;

use indexmap::IndexMap;
use indexmap::map::Entry;

/// The place of a class in [`Classes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

/// One class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its number from 0, as Ground Truth counts: one less than COCO's category id or TFRecord's label. `None`: the format has
    /// names only.
    pub number: Option<i64>,
    /// Its name. `None`: the data set has used the number and not said the name.
    pub name: Option<String>,
}

/// The classes of a data set in the order in which they were met. Several files may share one table.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    classes: Vec<Class>,
    by_number: IndexMap<i64, ClassId>,
    by_name: IndexMap<String, ClassId>,
    /// Classes in the order in which they got their names.
    named: Vec<ClassId>,
}

impl Classes {
    /// The class of this number, which is added if it is new.
    pub fn of_number(&mut self, number: i64) -> ClassId {
        match self.by_number.entry(number) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let id = ClassId(self.classes.len() as u32);
                self.classes.push(Class { number: Some(number), name: None });
                *new.insert(id)
            }
        }
    }

    /// The class of this name, which is added without a number if it is new.
    pub fn of_name(&mut self, name: &str) -> ClassId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = ClassId(self.classes.len() as u32);
        self.classes.push(Class { number: None, name: Some(name.to_owned()) });
        self.by_name.insert(name.to_owned(), id);
        self.named.push(id);
        id
    }

    /// Names the class of this number. A later name replaces an earlier one, and the class keeps its place.
    pub fn name(&mut self, number: i64, name: &str) -> ClassId {
        let id = self.of_number(number);
        let class = &mut self.classes[id.0 as usize];
        match &mut class.name {
            Some(known) if known == name => return id,
            Some(known) => {
                if self.by_name.get(known.as_str()) == Some(&id) {
                    self.by_name.shift_remove(known.as_str());
                }
                known.clear();
                known.push_str(name);
            }
            unnamed => {
                *unnamed = Some(name.to_owned());
                self.named.push(id);
            }
        }
        // Two numbers may have one name. The first keeps it.
        self.by_name.entry(name.to_owned()).or_insert(id);
        id
    }

    /// The class of this name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ClassId> {
        self.by_name.get(name).copied()
    }

    /// The class.
    #[must_use]
    pub fn get(&self, id: ClassId) -> Option<&Class> {
        self.classes.get(id.0 as usize)
    }

    /// The name of a class, or its number as text where it has none.
    #[must_use]
    pub fn shown(&self, id: ClassId) -> Cow<'_, str> {
        match self.get(id) {
            Some(Class { name: Some(name), .. }) => Cow::Borrowed(name),
            Some(Class { number: Some(number), .. }) => Cow::Owned(number.to_string()),
            _ => Cow::Owned(format!("class {}", id.0)),
        }
    }

    /// All classes, in the order in which they were met.
    pub fn iter(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        self.classes.iter().enumerate().map(|(index, class)| (ClassId(index as u32), class))
    }

    /// Classes with a name, in the order in which they got their names.
    pub fn named(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        self.named.iter().filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// How many classes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// A number from 0 for each class, in the order of their ids. If every class has a number that is not negative, and no two have
    /// the same, those are taken. Otherwise classes are counted in the order of their names.
    #[must_use]
    pub fn numbers(&self) -> Vec<i64> {
        if self.classes.iter().all(|class| class.number.is_some_and(|number| number >= 0)) {
            return self.classes.iter().filter_map(|class| class.number).collect();
        }
        let mut order: Vec<usize> = (0..self.classes.len()).collect();
        order.sort_by_key(|index| (self.shown(ClassId(*index as u32)), *index));
        let mut numbers = vec![0; order.len()];
        for (number, index) in order.into_iter().enumerate() {
            numbers[index] = number as i64;
        }
        numbers
    }

    /// All classes in the order of [`Classes::numbers`], in which people read them.
    #[must_use]
    pub fn in_order(&self) -> Vec<ClassId> {
        let mut order: Vec<(i64, ClassId)> = self.numbers().into_iter().zip(self.iter().map(|(id, _)| id)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, id)| id).collect()
    }

    /// Whether [`Classes::numbers`] differ from what the data set says.
    #[must_use]
    pub fn are_renumbered(&self) -> bool {
        self.classes.iter().zip(self.numbers()).any(|(class, number)| class.number.is_some_and(|known| known != number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_name_replaces_an_earlier_one_in_its_place() {
        let mut classes = Classes::default();
        let third = classes.of_number(3);
        let first = classes.name(1, "b");
        classes.name(0, "a");
        assert_eq!(classes.name(1, "b two"), first);
        classes.name(3, "d");
        let named: Vec<_> = classes.named().map(|(_, class)| class.name.as_deref().unwrap()).collect();
        assert_eq!(named, ["b two", "a", "d"]);
        assert_eq!((classes.find("b"), classes.find("b two"), classes.find("d")), (None, Some(first), Some(third)));
        assert_eq!(classes.numbers(), [3, 1, 0]);
    }

    #[test]
    fn classes_without_numbers_are_counted_by_name() {
        let mut classes = Classes::default();
        for name in ["pug", "beagle", "pug", "cat"] {
            classes.of_name(name);
        }
        assert_eq!(classes.numbers(), [2, 0, 1]);
        assert_eq!(classes.in_order(), [ClassId(1), ClassId(2), ClassId(0)]);
        classes.of_number(-1);
        assert_eq!((classes.len(), classes.are_renumbered()), (4, true));
    }
}
