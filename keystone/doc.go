// Package keystone asks OpenStack Identity (Keystone, API version 3) who is behind a token, and gets tokens for a service
// of its own. Section names cite Keystone's Identity API v3 reference; what it leaves open follows keystonemiddleware and
// keystoneauth, whose option names [ReadConfig] reads.
//
//	client, err := keystone.Open(lookup, os.ReadFile)
//	token, err := client.Validate(ctx, subject, service)
//
// # Whom to blame
//
// An error tells by [errors.Is] which of three things happened: [TokenRefused], the token is not good; [IdentityRefused],
// Keystone refuses this client itself, and nothing is known about the token; [Unavailable], there was no usable answer.
// Keystone answers 404 both for a bad token and to a client whose own user or project is gone, so before a token is
// blamed the client makes sure that its own still holds. No error holds a token, a password, or anything out of the body
// of Keystone's answer: the body of a 404 can hold a whole token.
//
// # What is accepted
//
// An expired token is accepted within Keystone's allow_expired_window if a valid service token with one of
// [Config.ServiceRoles] comes with it, since a long job of a service must be able to end. A service token that is not
// valid refuses the whole request, whatever the user's token is.
//
// A token from an application credential with access rules is refused unless such a service token comes with it. The rules
// name HTTP methods and paths, and no KMIP operation is one; a service token says that the request is a later link of a
// chain whose first link was checked. This is keystonemiddleware's rule. A token that is bound to something other than its
// text (the bind field of old Keystones) is refused: what it is bound to is not seen here.
//
// # How long an answer lasts
//
// Good answers are kept for [Config.CacheTime], never past the token's expiry, and bad ones not at all. So a token that was
// revoked, a user disabled or a role taken away may go unnoticed for that time, 5 minutes by default, as with
// keystonemiddleware; a CacheTime of 0 asks Keystone every time. An expired token that was accepted is kept for at most a
// minute. Clocks are expected to agree with Keystone's, but this client's own token is renewed by Keystone's clock alone.
//
// # How requests travel
//
// To auth_url and nowhere else: redirects are not followed, proxies in the environment are not used, and the service
// catalog is not consulted, since each would send tokens to where the operator did not say. https is verified against
// cafile or the system's CAs, always; there is no way to turn that off. Plain http happens only where auth_url says so.
// Broken connections and 5xx are tried again, a few times within bounds; 4xx and timeouts are not.
package keystone
