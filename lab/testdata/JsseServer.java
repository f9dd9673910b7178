import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.util.*;
import javax.net.ssl.*;

/** A TLS server on JSSE. Arguments: address, PKI directory, password, then
 *  port,version,mode,suite,identity,clientCA for each endpoint. */
class JsseServer {
    public static void main(String[] args) throws Exception {
        for (int i = 3; i < args.length; i++) {
            String[] endpoint = args[i].split(",");
            SSLServerSocket listener = listen(args[0], args[1], args[2].toCharArray(), endpoint);
            new Thread(() -> accept(listener)).start();
        }
    }

    static SSLServerSocket listen(String address, String pki, char[] password, String[] e) throws Exception {
        KeyStore keys = KeyStore.getInstance(new File(pki, e[4] + ".p12"), password);
        KeyManagerFactory km = KeyManagerFactory.getInstance("PKIX");
        km.init(keys, password);
        KeyStore trust = KeyStore.getInstance("PKCS12");
        trust.load(null, null);
        try (InputStream in = Files.newInputStream(Path.of(e[5]))) {
            int n = 0;
            for (java.security.cert.Certificate ca : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                trust.setCertificateEntry("ca" + n++, ca);
            }
        }
        TrustManagerFactory tm = TrustManagerFactory.getInstance("PKIX");
        tm.init(trust);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(km.getKeyManagers(), tm.getTrustManagers(), null);

        SSLServerSocket s = (SSLServerSocket) context.getServerSocketFactory()
                .createServerSocket(Integer.parseInt(e[0]), 50, InetAddress.getByName(address));
        SSLParameters p = s.getSSLParameters();
        p.setProtocols(new String[] {e[1]});
        if (!e[3].isEmpty()) {
            p.setCipherSuites(new String[] {e[3]});
        }
        p.setNeedClientAuth(e[2].equals("required"));
        if (e[2].equals("optional")) {
            p.setWantClientAuth(true);
        }
        s.setSSLParameters(p);
        return s;
    }

    static void accept(SSLServerSocket listener) {
        while (true) {
            try {
                Socket s = listener.accept();
                new Thread(() -> answer(s)).start();
            } catch (IOException e) {
                return;
            }
        }
    }

    static void answer(Socket s) {
        try (s) {
            s.setSoTimeout(10_000);
            BufferedReader in = new BufferedReader(new InputStreamReader(s.getInputStream()));
            String first = in.readLine();
            for (String line = first; line != null && !line.isEmpty(); line = in.readLine()) { }
            if (first != null && first.startsWith("GET /again ")) {
                again((SSLSocket) s);
            }
            s.getOutputStream().write("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n".getBytes());
        } catch (IOException e) {
            // A client that was refused; the capture shows it.
        }
    }

    /** Renegotiates, with a request, eight times if the client goes along. */
    static void again(SSLSocket s) throws IOException {
        var done = new java.util.concurrent.atomic.AtomicInteger();
        s.addHandshakeCompletedListener(e -> done.incrementAndGet());
        s.setWantClientAuth(true);
        s.setSoTimeout(20);
        for (int begun = 0; done.get() < 8; ) {
            if (done.get() == begun) {
                s.startHandshake();
                begun++;
            }
            try {
                if (s.getInputStream().read() < 0) {
                    return;
                }
            } catch (SocketTimeoutException e) {
                // The next round can begin, if this one is through.
            }
        }
    }
}
