"""Names, goods, sentences and numbers to fill pictures with."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Random = np.random.Generator
T = TypeVar("T")


def _words(text: str) -> list[str]:
    return text.split()


def _options(text: str) -> list[str]:
    """What stands between bars and line ends."""
    return text.replace("\n", "|").split("|")


FIRST = _words("""Anna Ben Carla David Elena Farid Grace Hugo Ines Jonas Karin Luca Mona Nils Olga Pavel Quinn Rosa
Samir Tess Ulla Viktor Wanda Xenia Yusuf Zoe Amara Bruno Chloe Diego""")
LAST = _words("""Abbott Berger Castillo Dubois Evans Fischer Garcia Hansen Ivanov Jensen Keller Lopez Moreau Novak
Okafor Patel Quist Rossi Schmidt Tanaka Ueda Vargas Weber Xu Yilmaz Zimmer Lindqvist Marchetti Oduya
Petrov""")
STREETS = _options("""Mill Lane|Station Road|High Street|Gartenweg|Rue Pasteur|Calle Mayor|Church Row|Harbour Way
Oak Avenue
Lindenallee|Via Roma|King's Parade|Park Terrace|Quai Nord|Bridge Street|Old Market""")
CITIES = _options("""Leeds|Hamburg|Lyon|Sevilla|Torino|Aarhus|Gent|Graz|Porto|Malmö|Bristol|Basel|Utrecht|Dresden
Nantes|Cork
Bergen|Tampere|Gdańsk|Split""")
SHOPS = _options("""GREEN BASKET|Corner Market|Café Morgenrot|City Hardware|Bookshop Nine|PANETTERIA SOLE|Metro Foods
Harbour Pharmacy|BLUE LAGOON BAR|Kiosk am Tor|Garden Centre Oak|The Daily Grind|SUPERSPAR 24|Bistro Lumière
Pet Paradise|Farmhouse Deli|Ink & Paper|Velo Werkstatt""")
COMPANIES = _options("""Northwind Logistics|Baumann & Sohn GmbH|Acorn Design Studio|Delta Print Works
Orbit Software Ltd
Maison Lefèvre SARL|Harper Legal LLP|Solaris Energy AG|Tidewater Catering|Pixel Foundry|Alpine Tools
Mercato Fresco Srl
Brightside Cleaning|Kestrel Engineering|Fjord Consulting AS|Juniper Health""")
GOODS = _options("""Whole milk 1L|Rye bread|Bananas loose|Free range eggs|Butter 250g|Tomatoes vine|Orange juice
Spaghetti 500g
Olive oil|Cheddar mature|Chicken breast|Green tea 20s|Dark chocolate|Sparkling water|Potatoes 2kg|Red onions
Yoghurt plain
Apple Gala|Coffee beans|Washing powder|Paper towels|Toothpaste|Shampoo 300ml|Dog food tin|Salmon fillet|Basmati rice
Cappuccino|Croissant|Club sandwich|Lemonade|Soup of the day|Cheesecake|Espresso|Caesar salad|Flat white|Ham baguette
LED bulb E27|Wood screws 40|Masking tape|Wall paint 2.5|Batteries AA|Extension lead|Paint brush|Duct tape
Drill bit 6mm
Notebook A5|Ball pen blue|Envelopes 50|Plant pot 14|Potting soil|Seeds basil""")
SERVICES = _options("""Web design, landing page|Consulting, on site|Software licence, annual|Translation EN-DE
Office cleaning
Freight, 2 pallets|Printing, flyers A5|Photography, half day|Server hosting|Maintenance visit|Training workshop
Catering, 40 guests|Legal advice, contract|Electrical inspection|Logo redesign|Data migration|Travel expenses
Spare parts set|Steel brackets M8|Copper pipe 15 mm|Acoustic panels|Safety helmets|Packaging film|Assembly work
Courier delivery|Project management|Market survey|Quality audit|Laser cutting|Paint, RAL 7016""")
TOPICS = _options("""the budget|our roadmap|customer support|the new office|energy use|supplier contracts
team training
the mobile app|online sales|product quality|delivery times|the pilot project|market share|user feedback|cloud costs
data security|the spring launch|warehouse stock|recruiting|the annual report""")
SLIDE_VERBS = _options("""Review|Reduce risk in|Double the effort on|Measure|Explain|Simplify|Postpone|Invest in
Agree on|Prepare
Outsource|Protect|Compare last year with|Set targets for|Find owners for""")
HEADINGS = _options("""What we know about {}|Next steps for {}|{}: status|Why {} matters|A plan for {}
Results: {}|Questions on {}""")
REASONS = _options("""before June|by 12 percent|within two quarters|with regional partners|for all customers
step by step
to win back trust|after the audit|without extra staff|in three countries|as agreed in March|to save 40 hours a week
once prices settle""")
MESSAGES = _options("""Are you coming tonight?|I just missed the bus|Can you call me later?
The meeting moved to {n} o'clock
Happy birthday!|I bought {n} tickets for Saturday|Did you feed the cat?|Sounds great, see you there
Sorry, I fell asleep on the sofa|We need milk and bread|My flight lands at {n}:{m}|No way, really?|Ok|Thanks a lot!
Let me know when you are home|The code for the door is {m}{n}{m}|I will be {m} minutes late
Could you send me the photos from last weekend please|Mum says hi|It costs {m} euros, too much I think
Perfect, I will reserve a table for {n}|Where did you park the car?|Haha that is so true|Good night
The doctor said everything is fine|Meet me at the station, platform {n}|I left my keys at your place
Do you still have the recipe for that soup?|Not today, I have to work until {n}|Room {m}{n}, second floor on the left
Look what I found in the attic|Running late, start without me|Yes|No, tomorrow is better for me|Who else is coming?
Shall we take bus {m} or walk?|The parcel arrived this morning""")
TITLES = _options("""Weekly groceries|Morning run|Dentist appointment|Flight to Lisbon|Electricity bill|Piano lesson
Team lunch
Car insurance|Summer playlist|Invoice reminder|Garden club|Parcel delivered|Yoga class|Library books|Night train
Concert tickets|Password changed|Holiday photos|Rent payment|Football training|Bike repair|New follower|Salary
Museum visit|School trip|Software update|Blue mountain hike|Bakery order|Phone contract|Water meter|Game night
Parents evening|Backup finished|Coffee with Tom|Train to Vienna|Gym membership|Recipe of the day|Storm warning
Order shipped|Document signed""")
DETAILS = _options("""Today, {n}:{m}|Yesterday at {n}:{m}|{m} items|Due in {n} days|Updated {n} hours ago|{m} km away
Paid by card
Waiting for approval|{n} new comments|Remind me on Monday|Platform {n}, coach {m}|Room {m}{n}
Rated 4.{n} by {m} people
From {first} {last}|Shared with {first}|{first} replied to you|Version {n}.{m}|Free until {n} May|Draft, not sent
Order no. {m}{n}{m}""")
TOPS = _options("""when you finally|that moment you|me after I|nobody:|they said I could never|my boss thinks I
one does not simply
how it feels to|my cat watching me|when the teacher hears you|I told them I would|imagine being able to""")
BOTTOMS = _options("""forget the password again|open the fridge at 3 am|read the manual|deploy on a friday
find a parking spot
clean the whole house|wake up before the alarm|eat the last slice|answer the phone|miss the last train
reply all to everyone|lose the umbrella twice|see the electricity bill|start the diet tomorrow|win an argument online
assemble furniture alone|delete the wrong folder|get a window seat|remember every name|sleep through monday
speak to the printer|cook without burning it|hear the neighbours drill|pass the exam""")
METRICS = _options("""Revenue|Visitors|Rainfall|Unit sales|Energy use|Test score|Response time|Complaints|Orders
Population
Exports|Downloads|Temperature|Fuel price|Attendance""")
SERIES = _options("""North|South|East|West|Online|Retail|2021|2022|2023|Plan|Actual
Group A|Group B|Men|Women|Urban|Rural""")
CATEGORIES = (
    _words("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"),
    _words("Mon Tue Wed Thu Fri Sat Sun"),
    _words("Oslo Rome Paris Bern Kyiv Riga Wien Cork"),
    _words("Q1 Q2 Q3 Q4"),
    _words("18-24 25-34 35-44 45-54 55-64 65+"),
    _words("2015 2016 2017 2018 2019 2020 2021 2022 2023"),
)
PRINTS = _words("WAVE NOVA 1984 HELLO ROCK OSLO PEACE LUCKY TEAM COFFEE RIDE WILD CAMP 77 YES MOON")


def pick(random: Random, options: Sequence[T]) -> T:
    return options[int(random.integers(len(options)))]


def sample(random: Random, options: Sequence[T], count: int) -> list[T]:
    """`count` options, each once as long as there are enough."""
    order = random.permutation(len(options))
    return [options[int(order[i % len(options)])] for i in range(count)]


def chance(random: Random, share: float) -> bool:
    return bool(random.random() < share)


def person(random: Random) -> str:
    return f"{pick(random, FIRST)} {pick(random, LAST)}"


def street(random: Random) -> str:
    return f"{pick(random, STREETS)} {random.integers(1, 180)}"


def city(random: Random) -> str:
    return f"{random.integers(10000, 99999)} {pick(random, CITIES)}"


def digits(random: Random, count: int) -> str:
    return "".join(str(d) for d in random.integers(0, 10, count))


def phone(random: Random) -> str:
    return f"+{random.integers(30, 50)} {digits(random, 3)} {digits(random, 3)} {digits(random, 4)}"


def date(random: Random, style: int = 0) -> str:
    day, month, year = random.integers(1, 29), int(random.integers(1, 13)), random.integers(2016, 2026)
    name = CATEGORIES[0][month - 1]
    return (f"{day:02}.{month:02}.{year}", f"{year}-{month:02}-{day:02}", f"{day} {name} {year}")[style]


def clock(random: Random) -> str:
    return f"{random.integers(7, 23):02}:{random.integers(0, 60):02}"


def cents(random: Random, low: float = 0.5, high: float = 40) -> int:
    """Prices as shops have them: small ones are common, many end in 9 or 5."""
    value = round(100 * low * (high / low) ** random.random())
    return value - value % 10 + int(pick(random, (9, 5, 0, 9, value % 10)))


def filled(random: Random, text: str) -> str:
    return text.format(
        n=random.integers(2, 10), m=random.integers(10, 60), first=pick(random, FIRST), last=pick(random, LAST)
    )


def message(random: Random) -> str:
    words = filled(random, pick(random, MESSAGES))
    return f"{words}. {filled(random, pick(random, MESSAGES))}" if chance(random, 0.25) else words


def bullet(random: Random) -> str:
    return f"{pick(random, SLIDE_VERBS)} {pick(random, TOPICS)} {pick(random, REASONS)}"


def heading(random: Random) -> str:
    return pick(random, HEADINGS).format(pick(random, TOPICS)).capitalize()


def other_than(draw: Callable[[], T], old: T, characters: int = 2) -> T:
    """Another value of `draw`, whose text differs from the old one's in at least that many characters."""
    for _ in range(100):
        value = draw()
        if difference(str(value), str(old)) >= characters:
            return value
    raise ValueError(f"no other value than {old!r} in 100 draws: give more to choose from")


def difference(first: str, second: str) -> int:
    """Characters that differ, one beside the other; those of the longer text's end count."""
    return sum(a != b for a, b in zip(first, second, strict=False)) + abs(len(first) - len(second))


def other_amount(random: Random, old: int) -> int:
    """Another number of as many digits: at least two or three differ, rarely (1 of 20) only one."""
    text = str(old)
    count = 1 if chance(random, 0.05) or len(text) == 1 else min(len(text), int(random.integers(2, 4)))
    spots = random.permutation(len(text))[:count]
    new = [str((int(c) + int(random.integers(1, 10))) % 10) if i in spots else c for i, c in enumerate(text)]
    if new[0] == "0":
        new[0] = "2" if text[0] != "2" else "3"
    return int("".join(new))


def money(amount: int, currency: str, *, comma: bool) -> str:
    text = f"{amount / 100:,.2f}"
    if comma:
        text = text.translate(str.maketrans(",.", ".,"))
    return f"{currency}{text}" if currency in ("$", "£") else f"{text} {currency}".rstrip()
