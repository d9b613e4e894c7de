//! What people say: little conversations in which the two speak in turn.

/// A language in which two people chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Language {
    /// What people speak who have no other language in common.
    English,
    Hindi,
    Portuguese,
    German,
    French,
    Spanish,
    Japanese,
    Arabic,
    Turkish,
    Indonesian,
}

/// Lines of a conversation, by turns.
pub(super) type Script = &'static [&'static str];

impl Language {
    /// What is talked about.
    pub(super) const fn scripts(self) -> &'static [Script] {
        match self {
            Self::English => ENGLISH,
            Self::Hindi => HINDI,
            Self::Portuguese => PORTUGUESE,
            Self::German => GERMAN,
            Self::French => FRENCH,
            Self::Spanish => SPANISH,
            Self::Japanese => JAPANESE,
            Self::Arabic => ARABIC,
            Self::Turkish => TURKISH,
            Self::Indonesian => INDONESIAN,
        }
    }
}

const ENGLISH: &[Script] = &[
    &["hey, are you around?", "yes, what's up?", "coffee at four?", "make it half past", "deal ☕"],
    &["did you see the game last night?", "only the second half", "then you saw the best of it", "that last goal 😮"],
    &["The train is late again.", "How late?", "20 minutes, they say", "I'll order for you then", "You're the best"],
    &["happy birthday!! 🎂", "thank you! can't believe you remembered", "of course. cake tonight?", "always cake"],
    &["Can you send me the address?", "14 Mill Lane, second floor", "Thanks, leaving now", "The bell is broken, call me"],
    &["is the meeting still on?", "moved to Thursday", "morning?", "10:30, same room", "ok, I'll tell the others"],
    &["I found your umbrella", "I was looking for it everywhere!", "it was in my car", "keep it, it never rains now"],
    &["how was the exam?", "better than I feared", "told you so", "let's wait for the marks 🤞"],
    &["What should I bring on Saturday?", "Just yourself. And maybe bread.", "Bread it is 🍞"],
    &["new phone, who's this?", "very funny", "sorry, couldn't resist 😄", "call your sister, she is worried"],
];
const HINDI: &[Script] = &[
    &["नमस्ते! कैसे हो?", "बढ़िया, तुम बताओ", "शाम को चाय पर मिलें?", "पक्का, छह बजे ☕"],
    &["मैच देखा कल?", "हाँ यार, आख़िरी ओवर!", "क्या छक्का था 🏏", "दिल धड़क रहा था"],
    &["घर कब आ रहे हो?", "ट्रेन दो घंटे लेट है", "खाना रख दूँ?", "हाँ, धन्यवाद 🙏"],
    &["Diwali ki tickets book ho gayi?", "abhi waiting hai", "Tatkal try karo", "kal subah karta hoon"],
    &["जन्मदिन मुबारक हो! 🎉", "शुक्रिया! पार्टी रविवार को", "मैं केक लाऊँगा", "चॉकलेट वाला!"],
];
const PORTUGUESE: &[Script] = &[
    &["oi, tudo bem?", "tudo ótimo! e você?", "bora na praia sábado?", "bora! eu levo a bola 🏖️"],
    &["Chegou bem?", "Cheguei, o voo foi tranquilo", "Que bom! Dá um abraço na vó", "Pode deixar ❤️"],
    &["viu o jogo?", "nem me fale 😭", "na próxima a gente ganha", "você diz isso toda semana"],
    &["Preciso da receita do pão de queijo", "Mando já", "Com polvilho azedo?", "Sempre azedo!"],
];
const GERMAN: &[Script] = &[
    &["Bist du schon unterwegs?", "Stehe noch im Stau", "Dann fange ich mit dem Kochen an", "Bin in 15 Minuten da"],
    &["Kommst du morgen zum Fußball?", "Klar, wer bringt den Ball?", "Ich. Du bringst Wasser", "Abgemacht 👍"],
    &["Schöne Grüße aus Tübingen!", "Wie ist das Wetter?", "Grau, aber gemütlich", "Wie immer also"],
    &["Hast du den Schlüssel?", "Nein, ich dachte du", "Oh nein 🙈", "Frag mal die Nachbarin"],
];
const FRENCH: &[Script] = &[
    &["Coucou, t'es où ?", "Au marché, tu veux quelque chose ?", "Des fraises s'il y en a", "C'est noté 🍓"],
    &["On se voit à midi ?", "Plutôt midi et demi", "Parfait, chez Léo", "À tout à l'heure !"],
    &["Tu as réussi ton entretien ?", "Je crois bien !", "Bravo !! 🎉", "On fête ça ce soir ?"],
    &["Le train est supprimé…", "Encore ?", "Je prends le suivant", "Courage 💪"],
];
const SPANISH: &[Script] = &[
    &["¿qué haces?", "aquí, estudiando", "¿unas tapas luego?", "a las nueve, ¡no tardes!"],
    &["¿Llegaste bien?", "Sí, acabo de entrar", "Descansa, mañana hablamos", "Un abrazo 🤗"],
    &["¡Feliz cumpleaños, guapa!", "¡Gracias! Me alegraste el día", "¿Celebramos el viernes?", "Ya reservé mesa 🎈"],
    &["Oye, ¿tienes el número de la doctora?", "Ahorita te lo paso", "Mil gracias", "De nada, que te mejores"],
];
const JAPANESE: &[Script] = &[
    &["今どこ?", "駅に着いたところ", "改札で待ってるね", "了解、すぐ行く!"],
    &["週末、花見に行かない?🌸", "いいね!何時にする?", "十時に公園の入口で", "お弁当作っていくよ 🍱"],
    &["テストどうだった?", "まあまあかな…", "お疲れさま!", "ありがとう 😊"],
    &["会議、三時に変わりました", "承知しました", "資料は共有フォルダです", "助かります"],
];
const ARABIC: &[Script] = &[
    &["السلام عليكم، كيف حالك؟", "وعليكم السلام، الحمد لله بخير", "نلتقي مساءً؟", "إن شاء الله، الساعة السابعة"],
    &["وصلت البيت؟", "نعم، وصلت الآن", "الحمد لله على السلامة 🌹", "الله يسلمك"],
    &["شفت المباراة؟", "طبعًا! هدف رائع ⚽", "كنت متأكد إننا هنكسب"],
];
const TURKISH: &[Script] = &[
    &["Naber?", "İyidir, senden?", "Akşama çay içelim mi?", "Olur, sekizde 🫖"],
    &["Vapuru kaçırdım 😅", "Bir sonraki kaçta?", "Yirmi dakika sonra", "Bekliyorum, acele etme"],
    &["Sınav nasıl geçti?", "Çok güzel geçti!", "Tebrikler 🎉", "Teşekkür ederim"],
];
const INDONESIAN: &[Script] = &[
    &["Lagi di mana?", "Masih macet di Sudirman", "Aku pesan dulu ya", "Oke, sate buat aku 🍢"],
    &["Besok jadi futsal?", "Jadi, jam tujuh malam", "Siap, aku bawa bola", "Mantap 👍"],
    &["Selamat ulang tahun! 🎂", "Makasih banyak ya", "Traktir dong 😄", "Boleh, hari Minggu!"],
];
