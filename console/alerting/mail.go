package alerting

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/wneessen/go-mail"
)

// The ways a mail server is spoken to.
const (
	MailStartTLS = "starttls" // plain at first, then TLS or not at all (RFC 3207)
	MailTLS      = "tls"      // TLS from the beginning (RFC 8314)
	MailPlain    = "none"
)

// Mail sends alerts over a mail server (RFC 5321).
type Mail struct {
	Server   string // host:port
	Security string // starttls, tls or none
	User     string // "": nobody signs in
	Password string
	From     string
	To       []string
	Hello    string      // our name for the server; "": the host's
	TLS      *tls.Config // nil: the system's authorities
}

// mailText is the longest text of a mail, in bytes.
const mailText = 32 << 10

// Send implements Sender.
func (s Mail) Send(ctx context.Context, m Message) (string, error) {
	msg, err := s.message(m)
	if err != nil {
		return "", err
	}
	// The library waits in its own time for a server that says nothing, and
	// leaves a connection open that failed before the mail.
	open, done := context.WithCancel(ctx)
	defer done()
	client, err := s.client(func(c net.Conn) { context.AfterFunc(open, func() { _ = c.Close() }) })
	if err != nil {
		return "", err
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		if ctx.Err() != nil {
			err = errors.New("no answer in time")
		}
		return "", err
	}
	return fmt.Sprintf("the server took it for %d addressees", len(s.To)), nil
}

func (s Mail) message(m Message) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.From(s.From); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if err := msg.To(s.To...); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	worst := Info
	for _, n := range m.Notices {
		if n.Alert.Severity.Reaches(worst) {
			worst = n.Alert.Severity
		}
	}
	subject := shorten(m.Notices[0].Alert.Summary, 120)
	if len(m.Notices) > 1 {
		subject = fmt.Sprintf("%d alerts", len(m.Notices))
	}
	msg.Subject(fmt.Sprintf("[Holdline %s] %s: %s", m.Node, worst, subject))
	if worst == Critical {
		msg.SetImportance(mail.ImportanceHigh)
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no vacation notices back
	msg.SetDate()
	msg.SetMessageID()
	msg.SetBodyString(mail.TypeTextPlain, m.Text(mailText))
	return msg, nil
}

func (s Mail) client(opened func(net.Conn)) (*mail.Client, error) {
	host, port, err := net.SplitHostPort(s.Server)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	policy := map[string]mail.TLSPolicy{MailStartTLS: mail.TLSMandatory, MailTLS: mail.NoTLS, MailPlain: mail.NoTLS}
	options := []mail.Option{mail.WithPort(number), mail.WithTLSPolicy(policy[s.Security])}
	options = append(options, mail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil && s.Security == MailTLS {
			config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
			if s.TLS != nil {
				config = s.TLS
			}
			c = tls.Client(c, config)
		}
		if err == nil {
			opened(c)
		}
		return c, err
	}))
	if s.Hello != "" {
		options = append(options, mail.WithHELO(s.Hello))
	}
	if s.TLS != nil {
		options = append(options, mail.WithTLSConfig(s.TLS))
	}
	if s.User != "" {
		plain, login := mail.SMTPAuthPlain, mail.SMTPAuthLogin
		if s.Security == MailPlain { // the file says that this network is trusted
			plain, login = mail.SMTPAuthPlainNoEnc, mail.SMTPAuthLoginNoEnc
		}
		auth := mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthCramMD5, plain, login)
		options = append(options, auth, mail.WithUsername(s.User), mail.WithPassword(s.Password))
	}
	client, err := mail.NewClient(host, options...)
	if err != nil {
		return nil, errors.New("the mail client cannot be set up")
	}
	return client, nil
}

// MailSecurities are the ways a mail server can be spoken to.
func MailSecurities() []string { return slices.Clone([]string{MailStartTLS, MailTLS, MailPlain}) }
