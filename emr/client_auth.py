"""How we prove ourselves at a vendor's token endpoint, by the registration's method."""

import time

from emr import keys
from emr.models import ClientRegistration, SigningKey
from emr.wire import smart
from emr.wire.errors import NeverAgain
from emr.wire.token_endpoint import ClientAuthentication
from emr.wire.wellknown import SmartConfiguration

Method = ClientRegistration.AuthMethod


def proof(
    registration: ClientRegistration, configuration: SmartConfiguration, key: SigningKey | None = None
) -> tuple[ClientAuthentication, SigningKey | None]:
    """For one request alone (an assertion's jti serves once), with the key that signed, if one did.

    key: to sign with instead of the environment's active one. Raises NeverAgain CFG_CLIENT_ID, CFG_CLIENT_SECRET,
    KEY_MISSING, CFG_SIGNING_KEY, and fields.SecretUnreadable.
    """
    if not registration.client_id:
        raise NeverAgain("CFG_CLIENT_ID", "the registration has no client id")
    if registration.auth_method != Method.PRIVATE_KEY_JWT:
        secret = "" if registration.auth_method == Method.NONE else registration.client_secret
        if not secret and registration.auth_method != Method.NONE:
            raise NeverAgain("CFG_CLIENT_SECRET", "the registration has no client secret")
        return ClientAuthentication(registration.auth_method, registration.client_id, secret=secret), None
    try:
        key = key or keys.signing_key(registration.environment, registration.signing_algorithm)
    except keys.NoSigningKey as exc:
        raise NeverAgain("KEY_MISSING", str(exc)) from None
    assertion = smart.client_assertion(
        client_id=registration.client_id,
        # As discovered, unless the vendor was found to want one fixed audience.
        token_endpoint=registration.assertion_audience or configuration.token_endpoint,
        private_key_pem=key.private_pem.encode(),
        kid=key.kid,
        alg=key.algorithm,
        now=time.time(),
    )
    return ClientAuthentication(registration.auth_method, registration.client_id, assertion=assertion), key
