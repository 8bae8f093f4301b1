"""Numbers that their check digits do not bear out are no cards and no accounts."""

import pytest

from stages.web.rules.check_digits import is_iban, is_luhn


@pytest.mark.parametrize("digits", ["4111111111111111", "378282246310005", "30569309025904", "79927398713"])
def test_luhn_finds_every_wrong_digit(digits: str) -> None:
    assert is_luhn(digits)
    for place, digit in enumerate(digits):
        wrong = str((int(digit) + 1) % 10)
        assert not is_luhn(digits[:place] + wrong + digits[place + 1 :])


@pytest.mark.parametrize(
    "number", ["DE89370400440532013000", "GB82WEST12345698765432", "NO9386011117947", "MT84MALT011000012345MTLCAST001S"]
)
def test_an_iban_has_the_length_of_its_country_and_its_check_digits(number: str) -> None:
    assert is_iban(number)
    assert not is_iban(number + "0")
    assert not is_iban(number[:-1])
    assert not is_iban("ZZ" + number[2:])
    swapped = number[:4] + number[5] + number[4] + number[6:]
    assert swapped == number or not is_iban(swapped)
