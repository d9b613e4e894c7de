use super::*;

fn code(text: &str) -> CountryCode {
    text.parse().unwrap()
}

fn meant_by(text: &str, country: &str) -> String {
    let written = WrittenPhone::read(text, &code(country)).and_then(|written| written.meant().map(ToString::to_string));
    written.unwrap_or_else(|error| panic!("{text} {country}: {error}"))
}

/// Goal: what people and programs write is the number that they mean. Method: a table of one number in India.
#[test]
fn one_number_has_many_spellings() {
    for text in [
        "+919876543210",
        "+91 98765-43210",
        "9876543210",
        "09876543210",
        "919876543210",
        "00919876543210",
        "0091 98765 43210",
        "+9109876543210",
        "+91 (0) 98765 43210",
        "(+91) 98765 43210",
        "+0091 98765 43210",
        "++919876543210",
        "98765.43210",
        "98765/43210",
        "98765\u{a0}43210",
        "98765\u{202f}43210",
        "+91\u{2011}98765\u{2011}43210",
        "98765–43210",
        "\u{202a}+91 98765 43210\u{202c}",
        "98765\u{200b}43210",
        "\t9876543210\r\n",
        "９８７６５４３２１０",
        "＋９１ ９８７６５ ４３２１０",
        "९८७६५४३२१०",
        "٩٨٧٦٥٤٣٢١٠",
        "tel:+91-98765-43210",
        "TEL:9876543210",
        "[98765] 43210",
    ] {
        assert_eq!(meant_by(text, "+91"), "+919876543210", "{text:?}");
    }
}

/// Goal: national numbers are those of the country they are said to be of. Method: a table of countries that share a code, dial
/// prefixes of their own, keep a leading 0, or are none.
#[test]
fn countries_have_their_own_ways() {
    for (text, country, e164) in [
        ("(415) 555-0100", "+1", "+14155550100"),
        ("1 415 555 0100", "+1", "+14155550100"),
        ("011 91 98765 43210", "+1", "+919876543210"),
        ("00 91 98765 43210", "+1", "+919876543210"),
        ("246 234 5678", "+1", "+12462345678"),
        ("234 5678", "+1246", "+12462345678"),
        ("246 234 5678", "+1246", "+12462345678"),
        ("1 246 234 5678", "+1 246", "+12462345678"),
        ("07911 123456", "+44", "+447911123456"),
        ("01481 960194", "+44", "+441481960194"),
        ("8 (912) 345-67-89", "+7", "+79123456789"),
        ("8 701 234 56 78", "+7", "+77012345678"),
        ("06 1234 5678", "+39", "+390612345678"),
        ("+49 (0)30 123456", "+91", "+4930123456"),
        ("+49030123456", "+91", "+4930123456"),
        ("011 15-2345-6789", "+54", "+5491123456789"),
        ("090-1234-5678", "+81", "+819012345678"),
        ("090ー1234ー5678", "+81", "+819012345678"),
        ("4002", "+683", "+6834002"),
        ("+683 4002", "+91", "+6834002"),
        ("1234 5678", "+800", "+80012345678"),
        ("+800 1234 5678", "+91", "+80012345678"),
        ("+870 773 111 632", "+91", "+870773111632"),
        ("+882 34 56 789 0", "+91", "+88234567890"),
        ("+979 123 456 789", "+1", "+979123456789"),
        // Of no country that is known.
        ("+999 123 456 789", "+1", "+999123456789"),
    ] {
        assert_eq!(meant_by(text, country), e164, "{text} {country}");
    }
}

/// Goal: what is no number, or none that its country could have, is refused and told why. Method: a table.
#[test]
fn what_is_no_number_says_why() {
    for (text, country, told) in [
        ("", "+91", "expected digits"),
        ("+", "+91", "expected digits"),
        ("call me", "+91", "expected digits"),
        ("1-800-FLOWERS", "+1", "expected digits"),
        ("98765 43210 ext. 5", "+91", "expected digits"),
        ("98765 43210#5", "+91", "expected digits"),
        ("98765 43210,5", "+91", "expected digits"),
        ("98765 43210 ~5", "+91", "expected digits"),
        ("*123#", "+91", "expected digits"),
        ("tel:+91-98765-43210;ext=5", "+91", "expected digits"),
        ("12", "+91", "too short for +91: 2 digits after the country code, expected 8 to 13"),
        ("+912", "+91", "too short"),
        ("+1 555 010", "+91", "too short for +1: 6 digits after the country code, expected 10"),
        ("555 0100", "+1", "too short for +1: 7 digits after the country code, expected 10"),
        ("415 555 01000", "+1", "too long for +1: 11 digits after the country code, expected 10"),
        ("+1234567890123456789", "+91", "too long"),
        ("+999 123", "+91", "no country has the calling code"),
        ("+021234567", "+91", "no country has the calling code"),
    ] {
        let read = WrittenPhone::read(text, &code(country)).and_then(|written| written.meant().cloned());
        let error = read.map(|phone| panic!("{text}: {phone}")).unwrap_err();
        assert!(error.to_string().starts_with(told), "{text}: {error}");
    }
    let long = " ".repeat(60_000) + "9876543210" + &"0".repeat(300);
    assert_eq!(WrittenPhone::read(&long, &code("+91")), Err(InvalidPhone::TooLong));
}

/// Goal: whoever was stored by an older version is found by what was written then. Method: the older reading, beside the number
/// that is meant or without one.
#[test]
fn the_older_reading_is_looked_for_first() {
    for (text, country, readings) in [
        ("+919876543210", "+91", &["+919876543210"][..]),
        ("98765 43210", "+91", &["+919876543210"]),
        ("09876543210", "+91", &["+9109876543210", "+919876543210"]),
        ("919876543210", "+91", &["+91919876543210", "+919876543210"]),
        ("+9109876543210", "+1", &["+9109876543210", "+919876543210"]),
        ("+12345678", "+91", &["+12345678"]),
        ("+999123456789", "+91", &["+999123456789"]),
        ("98765.43210", "+91", &["+919876543210"]),
        ("2345678", "+1246", &["+12462345678"]),
    ] {
        let written = WrittenPhone::read(text, &code(country)).unwrap();
        let read: Vec<&str> = written.readings().map(Phone::as_str).collect();
        assert_eq!(read, readings, "{text}");
    }
    assert!(WrittenPhone::read("+12345678", &code("+91")).unwrap().meant().is_err(), "too short, though it may be stored");
    let barbados = WrittenPhone::read("234 5678", &code("+1246")).unwrap();
    let phone = barbados.meant().unwrap();
    assert_eq!((phone.national(), phone.country_code()), ("2345678", code("+1246")));
}

/// Goal: digits are read without the library only where it would read the same. Method: for each calling code, numbers of
/// every length and many beginnings, one way and the other.
#[test]
fn the_fast_path_reads_as_the_library() {
    let mut fast = 0;
    for calling_code in PHONE_NUMBER_UTIL.get_supported_calling_codes() {
        let code = code(&calling_code.to_string());
        for beginning in 0..100_u64 {
            for (length, rest) in (3..=13_usize).zip([7_391_820_465_173_u64, 1_555_555_555_555].into_iter().cycle()) {
                let national = format!("{beginning:02}{rest}");
                let written = format!("+{calling_code}{}", &national[..length]);
                if let Some(phone) = canonical(&written) {
                    assert_eq!(meant(&written, &CountryCode::default()).as_ref(), Ok(&phone), "{written}");
                    fast += 1;
                }
                if let Some(phone) = super::national(&national[..length], &code) {
                    assert_eq!(meant(&national[..length], &code).as_ref(), Ok(&phone), "{calling_code}: {national}");
                    fast += 1;
                }
            }
        }
    }
    assert!(fast > 100_000, "{fast}");
}

/// Goal: the beginning of a number is read as the number would be. Method: a table.
#[test]
fn beginnings_are_read_as_numbers_are() {
    for (q, country, prefix) in [
        ("98765", "+91", Some("+9198765")),
        ("098765", "+91", Some("+9198765")),
        ("0091 987", "+91", Some("+91987")),
        ("+44 79", "+91", Some("+4479")),
        ("", "+91", None),
        ("Asha", "+91", None),
        ("3M", "+91", None),
    ] {
        assert_eq!(beginning(q, &code(country)).as_deref(), prefix, "{q}");
    }
}

/// Goal: canonical numbers cost no more than a look, and others microseconds. Method: measured by hand:
/// `cargo nextest run --release --run-ignored only -E 'test(reading_is_fast)' --no-capture`.
#[test]
#[ignore = "a measurement"]
fn reading_is_fast() {
    let india = CountryCode::default();
    for text in ["+919876543210", "+14155550100", "+4915112345678", "9876543210", "+91 98765-43210", "098765.43210", "call me"] {
        let begin = std::time::Instant::now();
        let _ = std::hint::black_box(WrittenPhone::read(text, &india));
        let first = begin.elapsed();
        let begin = std::time::Instant::now();
        for _ in 0..100_000 {
            let _ = std::hint::black_box(WrittenPhone::read(std::hint::black_box(text), &india));
        }
        eprintln!("{text}: first {first:?}, then {:?}", begin.elapsed() / 100_000);
    }
}
