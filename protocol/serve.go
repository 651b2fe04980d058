package protocol

import (
	"context"
	"io"
)

// Status is what the process exits with.
type Status int

// The three ways to exit. Of several that apply the highest counts.
const (
	OK     Status = 0 // every request succeeded
	Failed Status = 1 // some response was an error
	Broken Status = 2 // usage, configuration or input is broken, or the caller has closed the output
)

// Serve answers the requests in in, one line and one Write each on out, until the input ends or is broken or out takes no
// more. It starts no goroutine, so ctx ends what km is at and not the wait for input. A program whose standard output may
// be a closed pipe has to ignore SIGPIPE to see Serve return.
func Serve(ctx context.Context, in io.Reader, out io.Writer, km KeyManager) Status {
	requests, responses := newRequests(in), &responses{out: out}
	defer requests.wipe()
	for !responses.ended {
		text, err := requests.next()
		if err == io.EOF {
			break
		}
		var r request
		var answer result
		if err == nil {
			err = r.decode(text, requests.start())
		}
		if err == nil {
			answer, err = r.execute(ctx, km)
		}
		responses.write(r.id, answer, serverOf(km), err)
		wipe(&r)
		wipe(answer)
	}
	return responses.status
}

// WriteError writes the error line of a program that cannot begin to serve, for want of a configuration or of sense in
// its flags. It returns Broken.
func WriteError(out io.Writer, err error) Status {
	(&responses{out: out}).write(nil, nil, "", err)
	return Broken
}

// Chooser is a KeyManager that has several servers to choose from. Server is the one, host:port, that answered last, "" for
// none.
type Chooser interface{ Server() string }

// serverOf is the server that a result is from, "" where there is no choice.
func serverOf(km KeyManager) string {
	if chooser, ok := km.(Chooser); ok {
		return chooser.Server()
	}
	return ""
}

// responses writes lines and keeps what they mean for the exit status.
type responses struct {
	out    io.Writer
	line   buffer
	status Status
	ended  bool // nothing more can follow
}

// write answers the request with that id, err taking precedence over answer, which is from server.
func (r *responses) write(id *string, answer result, server string, err error) {
	r.line.raw(`{"version":1,"id":`)
	if id != nil {
		r.line.text(*id)
	} else {
		r.line.raw("null")
	}
	if err != nil {
		r.fail(asError(err))
	} else {
		r.line.raw(`,"result":`)
		answer.encode(&r.line)
		r.from(server)
	}
	r.line.raw("}\n")
	if _, err := r.out.Write(r.line); err != nil {
		r.status, r.ended = Broken, true
	}
	r.line.wipe()
}

func (r *responses) from(server string) {
	if server != "" {
		r.line.raw(`,"server":`)
		r.line.text(server)
	}
}

func (r *responses) fail(e *Error) {
	r.status = max(r.status, e.status())
	r.ended = e.ends
	r.line.raw(`,"error":`)
	e.encode(&r.line)
}
