"""A small web site, made from a grammar and a seed: what the smoke build reads instead of a real crawl.

Its good pages are plain English prose under headings, different enough from one another to pass every rule; beside them
stand pages that the rules are there to drop.
"""

import random
from collections.abc import Sequence
from html import escape
from pathlib import Path

SEED = 20240229

# For each subject, in this order: things; their parts; what one does with them; where; what they are like; who.
_SUBJECTS = {
    "beekeeping": """
        hive; swarm; queen cell; brood box; honeycomb; colony; nectar flow; smoker; wax foundation; feeder; drone;
        apiary |
        frame; entrance; lid; comb; cluster; crown board; landing board; super; floor; spacer |
        lift the frame; weigh the crop; count the mites; clip the comb; feed the colony; scrape the wax; close the
        entrance; move the box |
        orchard; heather moor; lime avenue; clover meadow; churchyard wall; allotment; south bank |
        gentle; crowded; fragrant; drowsy; well ventilated; restless; pale golden; damp |
        beekeeper; inspector; neighbour; botanist; apprentice; market trader
    """,
    "sailing": """
        dinghy; mainsail; jib; anchor; keel; rudder; tide table; mooring; compass; spinnaker; cutter; harbour light |
        halyard; cleat; batten; shroud; tiller; bilge; gunwale; fairlead; backstay; boom |
        reef the sail; trim the jib; coil the rope; sound the depth; plot the bearing; scrub the hull; check the
        shackles; ease the sheet |
        estuary; breakwater; sheltered cove; sandbar; inner harbour; fjord; lee shore |
        steady; choppy; windward; slack; seaworthy; salt stained; narrow; buoyant |
        skipper; pilot; rigger; lock keeper; navigator; sailmaker
    """,
    "baking": """
        sourdough loaf; rye starter; brioche; baguette; puff pastry; oven; proving basket; flatbread; bagel; crust;
        custard tart; dough |
        crumb; base; seam; surface; filling; edge; glaze; rim; layer; centre |
        knead the dough; score the crust; feed the starter; sift the flour; chill the butter; shape the roll; weigh
        the salt; steam the oven |
        village bakery; cool pantry; stone mill; market stall; farm kitchen; cellar; monastery |
        crisp; sticky; airy; golden brown; tangy; elastic; dense; buttery |
        baker; miller; pastry cook; grocer; grandmother; student
    """,
    "astronomy": """
        telescope; nebula; eclipse; comet; spiral galaxy; meteor shower; red dwarf; planet; star chart; binary star;
        spectrum; moon crater |
        mirror; eyepiece; mount; finder; lens; shutter; tripod; filter; dial; focuser |
        align the mount; record the position; measure the brightness; expose the plate; cool the sensor; sketch the
        disc; time the transit; compare the spectra |
        observatory; desert plateau; mountain ridge; dark valley; rooftop; planetarium; southern horizon |
        faint; brilliant; distant; slowly turning; reddish; variable; crescent shaped; remote |
        astronomer; amateur observer; optician; lecturer; night assistant; surveyor
    """,
    "carpentry": """
        workbench; dovetail joint; oak chest; rocking chair; window frame; bookcase; staircase; plane; chisel; barn
        door; stool; veneer |
        tenon; dowel; drawer; hinge; shelf; rail; panel; moulding; wedge; leg |
        saw the board; sharpen the chisel; mark the joint; glue the panel; plane the edge; sand the surface; clamp
        the frame; oil the top |
        timber yard; workshop; attic; boat shed; cottage; village hall; old stable |
        sturdy; knotty; smooth; seasoned; warped; handsome; straight grained; hollow |
        joiner; cabinet maker; carver; customer; forester; restorer
    """,
    "railways": """
        locomotive; signal box; viaduct; branch line; sleeping car; timetable; turntable; tunnel; level crossing;
        freight wagon; tram; platform |
        coupling; boiler; axle; points lever; brake; carriage window; buffer; firebox; sleeper; gauge |
        inspect the track; oil the axle; set the points; load the wagon; check the brakes; relay the sleepers; sound
        the whistle; clear the line |
        junction; mountain pass; terminus; coal depot; coastal cutting; marshalling yard; border station |
        punctual; rusty; heavily laden; electric; disused; scenic; rattling; broad |
        driver; conductor; stationmaster; engineer; porter; passenger
    """,
    "pottery": """
        kiln; glazed bowl; teapot; stoneware jar; porcelain cup; clay slab; wheel; tile; amphora; slip decoration;
        vase; salt glaze |
        handle; spout; foot ring; rim; lid; shoulder; belly; thumb mark; base; neck |
        wedge the clay; throw the bowl; trim the foot; mix the glaze; stack the kiln; cool the ware; burnish the
        rim; stamp the base |
        riverside pottery; drying shed; museum store; clay pit; island workshop; fairground; courtyard |
        brittle; speckled; translucent; porous; rounded; celadon green; hand built; fine |
        potter; glazer; collector; archaeologist; teacher; kiln master
    """,
    "rivers": """
        flood plain; weir; spring; meander; salmon run; delta; ferry; watermill; reed bed; gravel bank; oxbow lake;
        aqueduct |
        channel; bank; current; sluice; pool; ford; tributary; culvert; eddy; shallow |
        survey the bank; dredge the channel; count the salmon; open the sluice; plant the willows; sample the water;
        repair the weir; chart the current |
        gorge; water meadow; lowland valley; moorland source; city embankment; marsh; limestone plain |
        muddy; swift; brackish; winding; ice cold; silted; tranquil; swollen |
        ferryman; angler; hydrologist; warden; miller; boat builder
    """,
    "libraries": """
        card catalogue; reading room; manuscript; atlas; pamphlet; bookmobile; rare edition; microfilm; periodical;
        map case; index; scroll |
        binding; spine; page; shelf mark; cover; margin; title page; ribbon; drawer; label |
        catalogue the gift; repair the binding; shelve the volumes; copy the letter; dust the shelves; date the
        manuscript; renew the loan; scan the page |
        basement stack; university quarter; abbey; town square; seminar room; harbour district; reading gallery |
        leather bound; fragile; well thumbed; illustrated; forgotten; quiet; handwritten; annotated |
        librarian; archivist; bookbinder; historian; reader; printer
    """,
    "weaving": """
        loom; tapestry; wool fleece; linen cloth; dye bath; spindle; tartan; carpet; shuttle; silk thread; blanket;
        pattern draft |
        warp; weft; heddle; selvedge; fringe; bobbin; treadle; border; knot; pile |
        card the wool; wind the bobbin; thread the heddle; dye the skein; beat the weft; wash the fleece; mend the
        fringe; measure the cloth |
        highland croft; weaving mill; mountain village; cloth hall; dye house; sheep fair; caravan route |
        coarse; indigo blue; supple; tightly spun; striped; faded; lustrous; thick |
        weaver; spinner; dyer; shepherd; designer; merchant
    """,
}

_OPENERS = """
    In the early spring; Before the first frost; For more than a century; On a quiet morning; After several
    failures; Against all advice; During the long winter; With a little practice; According to old records; Most
    years; In dry weather; Once the work is done; At the end of the season; Despite its age; Not far from the main
    road; When time allows; Under the watchful eye of an expert; To everyone's surprise; As a rule of thumb; By
    contrast; Every few weeks; In many northern countries; Without much ceremony; Since the last war; Long before
    machines arrived; As night falls; In the opinion of many; Given enough patience; From time to time; At first
    glance; On closer inspection; For a modest price; In theory at least; Where space is short; To save money
"""

_CLAUSES = (
    "the {thing} needs a {quality} {part} before anyone can use it",
    "a {person} from the {place} will {act} twice a year",
    "nobody who has seen a {quality} {thing} forgets how the {part} looks",
    "it is wise to {act} and then to {act2}",
    "the {place} was known for its {quality} {thing} and little else",
    "the {thing} and the {thing2} were once made by the same {person}",
    "every {person} learns that a {part} can fail without warning",
    "there are {number} ways to {act}, and only two of them are safe",
    "a {thing} of this kind costs about {number} coins at the {place}",
    "one {person} told us that the {part} should never be {quality}",
    "our {thing} stood near the {place} until somebody moved it",
    "visitors often ask why the {thing} has such a {quality} {part}",
    "the difference between a {thing} and a {thing2} lies in the {part}",
    "you will find a {quality} {thing} behind the {place}",
    "the {person} refused to {act} while the {thing} was {quality}",
    "older books describe a {thing} with {number} parts, each of them {quality}",
    "a second {person} came to {act} and stayed for {number} days",
    "what looks {quality} from the {place} may turn out to be only a {thing}",
    "children like to watch the {person} {act}",
    "the {part} must be kept away from the {thing2}",
    "few people have the skill to {act} beside the {place}",
    "both the {thing} and its {part} deserve more attention than they get",
    "when the {thing} becomes {quality}, a careful {person} waits",
    "we tried to {act} with a borrowed {thing}, which was a mistake",
    "the oldest {thing} in the {place} is {number} years old",
    "its {part} gives the {thing} a {quality} character",
    "a good {person} can {act} in less than {number} minutes",
    "the law once required each {person} to {act} in public",
    "some say that the {place} has the best {thing} of all",
    "letters from a {person} mention a {quality} {thing2} that has since been lost",
    "a {quality} {part} is rarely worth the trouble of repair",
    "the {thing2} was invented so that a {person} could {act} alone",
    "rain at the {place} makes the {thing} {quality}",
    "the choice of a {part} depends on whether you want to {act}",
    "it took {number} attempts to {act} properly",
    "between the {place} and the sea there is hardly a {thing} left",
    "a {thing} should be {quality}, but not so {quality2} that the {part} suffers",
    "the local {person} keeps a {thing2} for guests",
    "they agreed to {act} only after the {person} had gone home",
    "no two examples of the {thing} share the same {part}",
    "the museum shows how a {person} used to {act} by candlelight",
    "anyone can {act}, although the {part} takes some strength",
    "the {quality} {thing2} in our picture belonged to a {person}",
    "a mistake with the {part} is easy to see and hard to correct",
    "the {place} supplies {number} families with everything they need to {act}",
    "each {thing} carries a mark that tells the {person} who made it",
    "cheap copies of the {thing} have a {quality2} {part} and soon break",
    "the sound of the {thing} reaches as far as the {place}",
    "modern tools let a {person} {act} without touching the {thing2}",
    "half of the {quality} ones were sold and the rest were given away",
    "the town paid a {person} to look after the {place} and its {thing}",
    "people still argue about which {part} came first",
    "the book advises us to {act}, to rest, and then to {act2}",
    "by the third year the {thing} had turned {quality}",
    "there is no shame in asking a {person} how to {act}",
    "a map of the {place} shows {number} spots where the {thing} was seen",
)

_TAILS = """
    which is why the old method survives; as the records of the guild show; and that alone makes it worth the
    effort; even if the weather is poor; because there is no better way; though opinions differ; so that nothing
    goes to waste; just as it did a hundred years ago; unless the owner objects; and the results speak for
    themselves; if only for the sake of tradition; which surprised the whole village; while the others look on; and
    hardly anyone complained; provided that the light is good; as any manual will explain; until something better
    comes along; and this should not be forgotten; where it could be seen from the road; or so the story goes; in
    spite of what the papers said; and then the real work begins; before the prices rise again; which saves a good
    deal of trouble; since the alternative is far worse; whatever the experts may claim; and it has stayed that way
    ever since; at least in the smaller towns; though it takes longer than expected; with very little help from
    outside
"""

_HEADINGS = """
    How to {act}; Why the {thing} matters; A short history of the {thing}; Choosing a {thing}; The {part} in detail;
    What a {person} should know; A visit to the {place}; Common mistakes with the {part}; When to {act}; From
    {thing} to {thing2}; Looking after a {quality} {thing}; Life as a {person}; Repairing the {part}; The {thing2}
    compared; Costs and benefits; Tools for every {person}; Questions about the {thing2}
"""

_NUMBERS = "three; five; seven; eleven; twelve; nineteen; thirty; forty; eighty; ninety"

_GERMAN = """
    Der alte Garten hinter dem Haus war seit vielen Jahren nicht mehr gepflegt worden, und doch wuchsen dort noch
    immer Rosen. Jeden Morgen ging die Nachbarin mit einer Kanne Wasser über die Wiese, weil es im Sommer kaum
    geregnet hatte. Niemand wusste genau, wem das Grundstück gehörte. Die Kinder aus dem Dorf kletterten über die
    niedrige Mauer und pflückten Äpfel, die nach dem ersten Frost besonders süß schmeckten. Im Herbst brannte ein
    kleines Feuer neben dem Schuppen, und der Rauch zog langsam über das Tal. Als der Winter kam, blieb es still,
    bis der Schnee wieder schmolz.
"""


def write_site(folder: Path, pages: int) -> None:
    """Write ``pages`` good pages into ``folder``, by subject, and under ``folder/odd`` one page for each rule to drop.

    The same count gives the same bytes, and a good page does not depend on how many there are.
    """
    for number in range(pages):
        subject = list(_SUBJECTS)[number % len(_SUBJECTS)]
        rng = random.Random(f"{SEED} {number}")
        _write(folder / subject / f"{number:03}.html", *_article(rng, subject))
    for name, (title, body) in _odd_pages().items():
        _write(folder / "odd" / f"{name}.html", title, body)


def _article(rng: random.Random, subject: str) -> tuple[str, str]:
    """Title and body: 300–900 words in three to six sections; no clause is used twice."""
    vocabulary = [_phrases(words) for words in _SUBJECTS[subject].split("|")]
    clauses = _shuffled(rng, _CLAUSES)
    openers = _shuffled(rng, _phrases(_OPENERS))
    tails = _shuffled(rng, _phrases(_TAILS))

    def sentence() -> str:
        text = _fill(rng, clauses.pop(), vocabulary)
        if openers and rng.random() < 0.5:
            text = f"{openers.pop()}, {text}"
        if tails and rng.random() < 0.45:
            text += f", {tails.pop()}"
        return text[0].upper() + text[1:] + "."

    def paragraph() -> str:
        return "<p>" + escape(" ".join(sentence() for _ in range(min(rng.randint(3, 6), len(clauses))))) + "</p>"

    headings = [_fill(rng, heading, vocabulary) for heading in rng.sample(_phrases(_HEADINGS), rng.randint(3, 6))]
    title = f"{subject.capitalize()}: {headings[0][0].lower()}{headings[0][1:]}"
    body = [f"<h1>{escape(title)}</h1>", paragraph()]
    for heading in headings[1:]:
        body.append(f"<h2>{escape(heading)}</h2>")
        body += [paragraph() for _ in range(rng.randint(1, 3)) if len(clauses) > 6]
        if len(clauses) > 10 and rng.random() < 0.4:
            body.append("<ul>" + "".join(f"<li>{escape(sentence())}</li>" for _ in range(3)) + "</ul>")
    while len(clauses) > 36:  # a page of few sections still has its 300 words
        body.append(paragraph())
    return title, "\n".join(body)


def _phrases(text: str) -> list[str]:
    return [" ".join(phrase.split()) for phrase in text.split(";")]


def _shuffled(rng: random.Random, phrases: Sequence[str]) -> list[str]:
    return rng.sample(phrases, len(phrases))


def _fill(rng: random.Random, template: str, vocabulary: list[list[str]]) -> str:
    things, parts, acts, places, qualities, people = vocabulary
    thing, thing2 = rng.sample(things, 2)
    act, act2 = rng.sample(acts, 2)
    quality, quality2 = rng.sample(qualities, 2)
    return template.format(
        thing=thing,
        thing2=thing2,
        act=act,
        act2=act2,
        quality=quality,
        quality2=quality2,
        part=rng.choice(parts),
        place=rng.choice(places),
        person=rng.choice(people),
        number=rng.choice(_phrases(_NUMBERS)),
    )


def _odd_pages() -> dict[str, tuple[str, str]]:
    """Title and body of the pages to be dropped, by what is wrong with them."""
    rng = random.Random(f"{SEED} odd")
    title, body = _article(random.Random(f"{SEED} 0"), next(iter(_SUBJECTS)))
    letters = "bcdfghjklmnpqrstvwxz"
    gibberish = " ".join("".join(rng.choices(letters, k=rng.randint(2, 14))) + rng.choice("#%$ ") for _ in range(400))
    return {
        "copy": (title, body),
        "near-copy": (title, body.replace("</p>", " This page was last looked at in May.</p>", 1)),
        "short": ("Notice", "<p>The museum is closed on Mondays.</p>"),
        "german": ("Der Garten", f"<p>{_GERMAN}</p>"),
        "gibberish": ("Index", f"<p>{escape(gibberish)}</p>"),
        "repeated": ("Offers", "<p>Order the wonderful hive today and save the money.</p>\n" * 40),
        "empty": ("Empty", ""),
    }


def _write(path: Path, title: str, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    menu = "".join(f'<li><a href="/{subject}/">{subject.capitalize()}</a></li>' for subject in _SUBJECTS)
    path.write_text(
        f'<!DOCTYPE html>\n<html>\n<head><meta charset="utf-8"><title>{escape(title)}</title></head>\n<body>\n'
        f"<nav><ul>{menu}</ul></nav>\n<main>\n{body}\n</main>\n"
        '<footer><p><a href="/">Home</a> | <a href="/contact">Contact</a></p></footer>\n</body>\n</html>\n',
        "utf-8",
    )
