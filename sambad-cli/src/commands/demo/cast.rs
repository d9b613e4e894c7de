//! Who takes part: a fixed cast, so that another run finds its people by their phones.

use sambad_client::Phone;

use super::lines::Language;

/// People in the cast, at most.
pub(super) const CAST_MAX: u32 = 10_000;

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) phone: Phone,
    /// Given and family name, in the order of the country.
    pub(super) name: String,
    /// By which friends save the number.
    pub(super) given: &'static str,
    pub(super) language: Language,
}

/// A country's people.
struct Country {
    /// Country code and the digits with which mobile numbers begin.
    prefix: &'static str,
    /// Digits after it.
    digits: u32,
    language: Language,
    family_first: bool,
    given: &'static [&'static str],
    family: &'static [&'static str],
}

const fn country(
    prefix: &'static str,
    digits: u32,
    language: Language,
    given: &'static [&'static str],
    family: &'static [&'static str],
) -> Country {
    Country { prefix, digits, language, family_first: false, given, family }
}

const INDIA: Country = country(
    "+9198",
    8,
    Language::Hindi,
    &["Asha", "Ravi", "Priya", "Arjun", "Meera", "Vikram", "Ananya", "Rohan", "Kavya", "Sanjay", "Divya", "Amit", "Neha"],
    &["Sharma", "Iyer", "Patel", "Reddy", "Nair", "Gupta", "Khan", "Das", "Joshi", "Menon", "Singh"],
);
const BRAZIL: Country = country(
    "+55119",
    8,
    Language::Portuguese,
    &["João", "Beatriz", "Luiza", "Thiago", "Mariana", "Rafael", "Camila", "Gustavo", "Letícia"],
    &["Silva", "Souza", "Oliveira", "Araújo", "Conceição", "Lima", "Ferreira"],
);
// Numbers that are set apart for fiction, 100 in each area.
const UNITED_STATES: Country = country(
    "+1",
    0,
    Language::English,
    &["Emma", "Liam", "Olivia", "Noah", "Ava", "Ethan", "Maya", "Jackson", "Zoe", "Mateo"],
    &["Johnson", "Nguyen", "Garcia", "Miller", "Washington", "Kim", "O'Brien"],
);
const GERMANY: Country = country(
    "+49151",
    8,
    Language::German,
    &["Jürgen", "Lena", "Felix", "Anke", "Björn", "Käthe", "Moritz", "Sabine"],
    &["Müller", "Schäfer", "Weiß", "Krause", "Vogel", "Lindner"],
);
const FRANCE: Country = country(
    "+336",
    8,
    Language::French,
    &["Chloé", "Hugo", "Amélie", "Théo", "Inès", "François", "Zoé", "Léa"],
    &["Moreau", "Lefèvre", "Garnier", "Petit", "Benoît", "Rousseau"],
);
const SPAIN: Country = country(
    "+346",
    8,
    Language::Spanish,
    &["Lucía", "Íñigo", "Marta", "Álvaro", "Nuria", "Sergio", "Carmen"],
    &["García", "Muñoz", "Ibáñez", "Vidal", "Núñez", "Romero"],
);
const MEXICO: Country = country(
    "+5255",
    8,
    Language::Spanish,
    &["Ximena", "Diego", "Valeria", "Emiliano", "Regina", "José", "Fernanda"],
    &["Hernández", "López", "Ramírez", "Peña", "Castañeda", "Flores"],
);
const JAPAN: Country = Country {
    prefix: "+8190",
    digits: 8,
    language: Language::Japanese,
    family_first: true,
    given: &["陽菜", "蓮", "結衣", "大翔", "さくら", "健太", "美咲"],
    family: &["佐藤", "鈴木", "高橋", "田中", "渡辺", "山本"],
};
const EGYPT: Country = country(
    "+2010",
    8,
    Language::Arabic,
    &["ليلى", "عمر", "فاطمة", "يوسف", "مريم", "خالد", "نور"],
    &["حسن", "إبراهيم", "المصري", "سالم", "عبد الله"],
);
const NIGERIA: Country = country(
    "+23480",
    8,
    Language::English,
    &["Chinwe", "Tunde", "Amaka", "Emeka", "Folasade", "Ibrahim", "Ngozi", "Yemi"],
    &["Okafor", "Adeyemi", "Balogun", "Eze", "Musa", "Obi"],
);
const TURKEY: Country = country(
    "+9053",
    8,
    Language::Turkish,
    &["Ayşe", "Çağlar", "Elif", "Mehmet", "İpek", "Oğuz", "Şule"],
    &["Yılmaz", "Öztürk", "Şahin", "Çelik", "Doğan"],
);
const INDONESIA: Country = country(
    "+62812",
    8,
    Language::Indonesian,
    &["Siti", "Budi", "Dewi", "Agus", "Putri", "Rizky", "Wayan"],
    &["Santoso", "Wijaya", "Hidayat", "Lestari", "Nugroho"],
);
// Numbers that are set apart for fiction, a thousand in all.
const UNITED_KINGDOM: Country = country(
    "+447700900",
    3,
    Language::English,
    &["Oliver", "Isla", "Harry", "Freya", "Rhys", "Niamh", "Priti", "Callum"],
    &["Smith", "Hughes", "MacDonald", "Patel", "Taylor", "Ahmed"],
);

/// In which order they come: the first dozen shows many countries, and India is where most of the users are.
const ORDER: [&Country; 16] = [
    &INDIA,
    &INDIA,
    &BRAZIL,
    &GERMANY,
    &JAPAN,
    &BRAZIL,
    &EGYPT,
    &UNITED_STATES,
    &INDIA,
    &FRANCE,
    &NIGERIA,
    &SPAIN,
    &TURKEY,
    &UNITED_KINGDOM,
    &MEXICO,
    &INDONESIA,
];

/// Area codes of the United States; each has 100 numbers for fiction.
const AREAS: [u32; 8] = [212, 415, 312, 206, 512, 617, 305, 720];

/// The person at a place of the cast: the same in every run, each with a phone of their own.
pub(super) fn person(index: u32) -> Person {
    let place = index as usize % ORDER.len();
    let country = ORDER[place];
    let before = ORDER[..place].iter().filter(|other| std::ptr::eq(**other, country)).count();
    let each_round = ORDER.iter().filter(|other| std::ptr::eq(**other, country)).count();
    let nth = index as usize / ORDER.len() * each_round + before;
    let given = country.given[nth % country.given.len()];
    // Shifted by the round, as lengths with a common factor would repeat the same pairs.
    let family = country.family[(nth + nth / country.given.len()) % country.family.len()];
    let name = if country.family_first { format!("{family} {given}") } else { format!("{given} {family}") };
    let phone = number(country, u32::try_from(nth).expect("the cast is small"));
    Person { phone: phone.parse().expect("the cast's numbers are phones"), name, given, language: country.language }
}

/// The phone of a country's nth person.
fn number(country: &Country, nth: u32) -> String {
    /// A prime that divides no power of ten: steps of it meet each number once.
    const STEP: u64 = 61_803_397;
    if country.digits == 0 {
        return format!("+1{}55501{:02}", AREAS[nth as usize / 100 % AREAS.len()], nth % 100);
    }
    let numbers = 10_u64.pow(country.digits);
    let number = (u64::from(nth) + 1) * STEP % numbers;
    format!("{}{number:0width$}", country.prefix, width = country.digits as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Goal: everybody has a phone of their own and a name that the server takes. Method: the whole cast.
    #[test]
    fn everybody_is_somebody_else() {
        let cast: Vec<_> = (0..CAST_MAX).map(person).collect();
        let phones: HashSet<_> = cast.iter().map(|person| &person.phone).collect();
        assert_eq!(phones.len(), cast.len());
        assert!(cast.iter().all(|person| (3..=100).contains(&person.name.chars().count())));
        let countries: HashSet<_> = cast[..12].iter().map(|person| person.phone.country_code().as_str().to_owned()).collect();
        assert!(countries.len() >= 8, "the first dozen shows many countries: {countries:?}");
    }

    /// Goal: another version finds its people again. Method: a few phones, as they must stay.
    #[test]
    fn phones_stay() {
        let phones = [0, 1, 7, 13, 9999].map(|index| person(index).phone.to_string());
        assert_eq!(phones, ["+919861803397", "+919823606794", "+12125550100", "+447700900397", "+6281227123125"]);
    }
}
