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
        "+91009876543210",
        "+910919876543210",
        "0919876543210",
        "00919109876543210",
        "+91919876543210",
        "+91 91 0 98765 43210",
        "+00 91 98765 43210",
        "\u{200e}tel:\u{200e}+91 98765 43210",
        "{98765}·43210",
        "【98765】•43210",
        "❨98765❩ 43210",
        "98765\u{3002}43210",
        "98765\u{ff61}43210",
        "98765\u{2044}43210",
        "98765\u{2215}43210",
        "98765\u{fe63}43\u{fe58}210",
        "98765\u{2043}43\u{58a}210",
        "98765\u{5be}43\u{301c}210",
        "\u{61c}98765\u{180e}43210\u{206f}",
        "98765\u{fe0f}43\u{34f}210\u{fffc}",
        "9\u{fe0f}\u{20e3}876543210",
        "9876543210.0",
        "+919876543210.00",
        "919876543210.0",
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
        // 00 where international calls begin otherwise, and where they begin with more than that.
        ("0061412345678", "+61", "+61412345678"),
        ("00 61 0412 345 678", "+61", "+61412345678"),
        ("0011 91 98765 43210", "+61", "+919876543210"),
        ("0011 65 9223 4567", "+61", "+6592234567"),
        ("001 91 98765 43210", "+82", "+919876543210"),
        ("005511961234567", "+55", "+5511961234567"),
        ("00573211234567", "+57", "+573211234567"),
        ("00 91 98765 43210", "+61", "+919876543210"),
        ("00 91 98765 43210", "+65", "+919876543210"),
        ("00 91 98765 43210", "+66", "+919876543210"),
        ("00 91 98765 43210", "+82", "+919876543210"),
        ("00 91 98765 43210", "+57", "+919876543210"),
        ("00 91 98765 43210", "+62", "+919876543210"),
        ("00 91 98765 43210", "+852", "+919876543210"),
        ("00 91 98765 43210", "+7", "+919876543210"),
        ("00 91 98765 43210", "+870", "+919876543210"),
        ("+00 91 98765 43210", "+61", "+919876543210"),
        ("0049 151 23456789", "+65", "+4915123456789"),
        ("0085591234567", "+855", "+85591234567"),
        // The country code without its +, where national numbers can be as long.
        ("4915123456789", "+49", "+4915123456789"),
        ("49 151 23456789", "+49", "+4915123456789"),
        ("4917612345678", "+49", "+4917612345678"),
        ("+494915123456789", "+91", "+4915123456789"),
        ("62812345678", "+62", "+62812345678"),
        ("38343201234", "+383", "+38343201234"),
        ("491 92870", "+49", "+4949192870"),
        ("9112345678", "+91", "+919112345678"),
        ("+91 91123 45678", "+1", "+919112345678"),
        ("55 99612 3456", "+55", "+5555996123456"),
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
        ("+999 123", "+91", "its calling code belongs to no country"),
        ("+021234567", "+91", "its calling code belongs to no country"),
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
        ("+91919876543210", "+91", &["+91919876543210", "+919876543210"]),
        ("4915123456789", "+49", &["+494915123456789", "+4915123456789"]),
        ("9876543210.0", "+91", &["+919876543210"]),
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
        let own = [format!("{calling_code}"), format!("{calling_code}{calling_code}"), format!("{calling_code}0")];
        for beginning in (0..100_u64).map(|beginning| format!("{beginning:02}")).chain(own) {
            for (length, rest) in (3..=13_usize).zip([7_391_820_465_173_u64, 1_555_555_555_555].into_iter().cycle()) {
                let national = format!("{beginning}{rest}");
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

/// Goal: what a new user gets is never listed as a spelling of another number, and numbers of ranges that nobody has stay what they
/// are. Method: numbers of every calling code with prefixes and codes before them, each read once more; some of no range.
#[test]
fn what_is_read_is_no_spelling() {
    let mut read = 0;
    for calling_code in PHONE_NUMBER_UTIL.get_supported_calling_codes() {
        let example = PHONE_NUMBER_UTIL
            .get_region_for_country_code(calling_code)
            .and_then(|region| PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, PhoneNumberType::Mobile).ok());
        let example = example.map(|number| get_national_significant_number_owned(&number));
        for national in example.iter().map(String::as_str).chain(["91234567", "1562812345", "000000000"]) {
            for before in ["", "0", "00", "8", "1", "1831"] {
                for text in [
                    format!("{before}{national}"),
                    format!("+{calling_code}{before}{national}"),
                    format!("{before}{calling_code}{national}"),
                    format!("+{calling_code}{before}{calling_code}{national}"),
                    format!("+{calling_code}{calling_code}{before}{national}"),
                ] {
                    let code = code(&calling_code.to_string());
                    let Ok(phone) = meant(&text, &code) else { continue };
                    assert_eq!(respelled(&phone), None, "{text} {code}: {phone}");
                    read += 1;
                }
            }
        }
    }
    assert!(read > 5_000, "{read}");
    for unassigned in
        ["+911234567890", "+9155555555555", "+19995550100", "+4900", "+999919876543210", "+6599999999", "+447000000000"]
    {
        if let Ok(phone) = meant(unassigned, &CountryCode::default()) {
            assert_eq!(phone.as_str(), unassigned);
        }
    }
    for (stored, number) in [
        ("+91009876543210", "+919876543210"),
        ("+91919876543210", "+919876543210"),
        ("+910919876543210", "+919876543210"),
        ("+494915123456789", "+4915123456789"),
    ] {
        assert_eq!(respelled(&stored.parse().unwrap()).unwrap().as_str(), number, "{stored}");
    }
}

/// Goal: the beginning of a number is read as the number would be. Method: a table.
#[test]
fn beginnings_are_read_as_numbers_are() {
    for (q, country, prefix) in [
        ("98765", "+91", Some("+9198765")),
        ("098765", "+91", Some("+9198765")),
        ("0091 987", "+91", Some("+91987")),
        ("+44 79", "+91", Some("+4479")),
        ("+91919876543210", "+91", Some("+919876543210")),
        ("00 91 98765 43210", "+65", Some("+919876543210")),
        ("9876543210.0", "+91", Some("+919876543210")),
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
