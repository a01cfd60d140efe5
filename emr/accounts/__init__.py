"""Who signs in, how it is proved, and for how long: invitations, second factors, sessions, OpenID providers, glass."""
