package keymgr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAdviceOfWhatIsHardToMeet: an operator is not sent to a host that is well for what is wrong with a network.
func TestAdviceOfWhatIsHardToMeet(t *testing.T) {
	for _, test := range []struct {
		about  func(error) string
		err    error
		advice string
	}{
		{resolutionAdvice, &net.DNSError{Err: "no such host", IsNotFound: true}, "correct host in [kmip]"},
		{resolutionAdvice, &net.DNSError{Err: "server misbehaving", IsTemporary: true}, "/etc/resolv.conf"},
		{reachAdvice, fmt.Errorf("dial: %w", context.DeadlineExceeded), "the host is down, or a firewall in between drops packets"},
		{reachAdvice, syscall.ECONNREFUSED, "nothing listens there"},
		{reachAdvice, syscall.EHOSTUNREACH, "one that this machine can reach"},
		{handshakeAdvice, errors.New("tls: internal error"), "must be those of a KMIP server"},
	} {
		require.Contains(t, test.about(test.err), test.advice, "%v", test.err)
	}
}
