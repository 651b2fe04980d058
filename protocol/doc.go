// Package protocol is the JSON protocol of kmip-keymgr-helper: what a caller writes to its standard input and reads from
// its standard output. This page is its specification. The package knows nothing of KMIP; a [KeyManager] does the work.
//
// # Stream
//
// The input is a stream of requests, each a JSON object (RFC 8259, UTF-8). White space, and so any line break, may stand
// before, within and after a request. Every request is answered in order with exactly one line of JSON, written as soon as
// the request's closing brace has been read: one request is a one-shot, many are a session.
//
// A request may have [MaxRequest] bytes and [MaxDepth] levels of nesting. Input that goes past either, that is not a
// stream of JSON objects in UTF-8, that ends within a request or that holds no request at all is broken: it is answered
// with one error of kind invalid_request whose message says what is wrong and at which byte (the first byte of the input
// is 1), and nothing after it is read.
//
// # Request
//
//	{"version":1, "id":"any text", "op":"get_key", "context":{...}, "args":{...}, "deadline_ms":30000}
//
//	version      must be 1, or the answer is the error unsupported with "supported_versions":[1] in it
//	id           text or null; echoed, null where it was not given or could not be read
//	op           one of the operations below
//	context      who asks, see [Context]; null or absent for no context
//	args         the operation's arguments; null is as good as {}
//	deadline_ms  milliseconds that the answer may take, to 86400000, where that is less than the configured timeout; 0, null
//	             or absent for that timeout
//
// Unknown fields are ignored everywhere. Null stands for an absent field everywhere. A field of another type than the one
// given here is the error invalid_request, and so is half a surrogate pair (\ud800) in one. A whole number may be written
// as a float, 256.0.
//
// # Response
//
//	{"version":1,"id":"any text","result":{...}}
//	{"version":1,"id":"any text","result":{...},"server":"kms2:5696"}
//	{"version":1,"id":"any text","error":{"kind":"not_found","message":"for people","reason":"ItemNotFound",
//	  "retryable":false,"maybe_executed":false,"server":"kms1:5696"}}
//
//	kind            what a caller branches on, see [Kind]
//	message         for people; may quote the server or name Keystone's host; never holds a secret of the request
//	reason          the server's own reason by name, or null
//	retryable       the same request may succeed later
//	maybe_executed  the operation may have taken effect anyway
//	server          the server that was asked, host:port, or null
//
// Beside a result stands the server that gave it, where the configuration has several to choose from; where it has one, the
// member is left out. The steps of check name their servers themselves.
//
// # Operations
//
//	op                args                                            result
//	create_key        algorithm, length (bits), name, expiration      key_id
//	create_key_pair   the same                                        private_key_id, public_key_id
//	store_key         object, expiration                              key_id
//	get_key           key_id, metadata_only                           object
//	copy_key          key_id                                          key_id, that of the copy
//	delete_key        key_id, force                                   nothing: {}
//	list_keys         object_type (null for all), metadata_only       objects, a list
//	add_consumer      key_id, consumer                                nothing: {}
//	remove_consumer   key_id, consumer                                nothing: {}
//	check             round_trip                                      see [Check]
//
// algorithm, length, object with its type and value, key_id, and consumer with all three fields are required. The booleans
// default to false. algorithm is taken in any case; length and bit_length go to 65536. key_id is a UUID in its text form;
// upper case is folded to lower, and what the helper gives out is lower case. expiration is ISO 8601: a date, or a date and
// a time with T or a space between, with or without seconds, a fraction and a zone; no zone means UTC. It must be in the
// future. An algorithm and its length come back as KMIP names and counts them: aes as AES.
//
// # Object
//
//	{"type":"symmetric","name":"volume key","created":1767225600,"value":"00ff","algorithm":"AES","bit_length":16,
//	  "id":"6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11","consumers":[],"state":"active"}
//
//	type        symmetric, public, private, certificate, passphrase or opaque
//	name        text or null; the empty name is null
//	created     Unix seconds or null
//	value       the bytes in hex, either case when read and lower case when written; null for metadata only
//	algorithm   for the three types of keys alone: text or null
//	bit_length  for the three types of keys alone: bits or null
//	id          key_id or null; ignored in store_key, as are created, consumers and state
//	consumers   a list of {"service":"...","resource_type":"...","resource_id":"..."}
//	state       text or null
//
// This is the shape of Castellan's ManagedObject.to_dict(), with id, consumers and state beside it.
//
// # Exit status
//
// [Serve] returns what the process exits with: 0 if every request succeeded, 1 if some response was an error, 2 if the
// input was broken, some error was of kind config, or an answer could not be written. With a broken configuration the helper's
// is 2 even where every request was wrong in itself and failed for that.
//
// # Secrets
//
// Key bytes, tokens and passwords are types that print their length. The bytes of a request, what was decoded from them
// and the line of the response are overwritten once the response is written, as are the messages exchanged with the
// server and what crypto/tls decrypted of them. After its last response the memory of a session holds no byte of a key,
// and none of the tokens that came with a context. A test reads the whole of it.
//
// What stays in memory, and why:
//
//   - What the configuration says, for as long as it is needed: the password of [kmip], the client's private key, and
//     Keystone's password and the tokens that it gave for it, of which net/http and encoding/json have copies.
//   - One of Castellan's credentials in a context, which encoding/json reads, and a secret that is spelled with JSON
//     escapes, which hex and tokens have no need of.
//   - Up to 63 bytes of a message's end, with one of TLS 1.2's CBC suites, in the hash function that crypto/tls proves the
//     message with. Only tls_ciphers turns these suites on.
//   - What is given where no secret belongs, as a key in the place of an id.
package protocol

// Version is the one version of the protocol there is.
const Version = 1

// Limits of one request. Secrets travel as hex, so the largest value that can be stored is a little under 2 MiB.
const (
	MaxRequest = 4 << 20 // bytes
	MaxDepth   = 32      // objects and lists within each other, the request itself included
)
