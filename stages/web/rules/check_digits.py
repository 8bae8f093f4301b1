"""Check digits: which numbers can be those of a payment card (Luhn) or of a bank account (IBAN)."""

# Characters of an IBAN by country, from SWIFT's registry of them, release 101.
_LENGTHS = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_LENGTH = {country: length for length, countries in _LENGTHS.items() for country in countries.split()}


def is_luhn(digits: str) -> bool:
    """Whether the last of ``digits`` checks the others (ISO/IEC 7812-1, annex B)."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def is_iban(number: str) -> bool:
    """Whether ``number``, capitals and digits, is as long as its country's are, and checked (ISO 13616-1, 2007)."""
    return (
        len(number) == _LENGTH.get(number[:2])
        and int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1
    )
