// Package mock is the Mock KMIP Key Manager: a server for functional tests that speaks KMIP 1.0 to 2.1 over mutual TLS,
// by the same message definitions as the client. It forgets everything when it stops.
//
// It is strict. What a real server might refuse, it refuses: a field it does not know or that its version does not have,
// an attribute that is read-only, an operation that an object's state does not allow, another client's object. In a test:
//
//	server, err := mock.Start(mock.Config{})
//	client := kmip.NewClient(server.Client())
//
// A message goes from [Server.Serve] (one goroutine a connection) to a session (bytes to message and back, the rules of
// the message as a whole), to a turn (the operations of one message), to the store (objects, their owners and states).
//
// Where KMIP leaves a choice, this server's is:
//
//   - Who made an object owns it. Another client's object is Permission Denied, as with PyKMIP, and Locate never shows it.
//   - A destroyed object is gone for all operations, Item Not Found, and its Names are free again; but Get Attributes and
//     Get Attribute List still tell its State and Destroy Date. Names are unique in the whole server.
//   - Activate of what is not Pre-Active and Destroy of what is Active are Permission Denied; Revoke of what is not Active,
//     but for a compromise, is Illegal Operation. The reasons are those of PyKMIP, in every version.
//   - Attributes that may not be set, changed or deleted have the reasons of 2.x in 2.x, and those of 1.x before.
//   - With users configured, a client is its certificate and its user name together.
//
// A Fault breaks conversations: a connection (Refuse), the handshake of TLS (Handshake), or the requests of an operation.
//
// In integrated mode (Config.Keystone) docs/credential.md rules: a client is the project of its token, every message is
// checked with Keystone before any of it runs, what roles permit is in openstack.go, another project's object is Item Not
// Found, Names are unique in a project, and what an object says of its owner must be true.
//
// Section numbers cite the KMIP 1.4 specification unless another version is named.
package mock
