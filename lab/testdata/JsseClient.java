import java.io.*;
import java.net.*;
import java.security.*;
import java.security.cert.X509Certificate;
import java.util.*;
import javax.net.ssl.*;

/** A TLS client on JSSE. Arguments: address, PKI directory, password. Jobs on
 *  standard input, results on standard output, as gopeer's dial has them. */
class JsseClient {
    public static void main(String[] args) throws Exception {
        // Newer releases disable suites that others still speak, RSA key exchange
        // among them; before JSSE is first used, that can be taken back.
        Security.setProperty("jdk.tls.disabledAlgorithms", "");
        Map<String, KeyManager[]> identities = new HashMap<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String[] job = line.split(" ");
            KeyManager[] keys = identities.get(job[3]);
            if (keys == null && !job[3].equals("-")) {
                KeyStore store = KeyStore.getInstance(new File(args[1], job[3] + ".p12"), args[2].toCharArray());
                KeyManagerFactory f = KeyManagerFactory.getInstance("PKIX");
                f.init(store, args[2].toCharArray());
                keys = f.getKeyManagers();
                identities.put(job[3], keys);
            }
            // One context is one session cache: a job shares nothing with others.
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(keys, new TrustManager[] {new TrustAll()}, null);
            for (int i = 0; i < Integer.parseInt(job[2]); i++) {
                System.out.println(job[0] + " " + i + " " + connect(context, args[0], Integer.parseInt(job[1]), job[0], job[4]));
            }
        }
    }

    static String connect(SSLContext context, String address, int port, String sni, String page)
            throws InterruptedException {
        // A resumed session keeps the time it was made at; milliseconds must
        // not make a new one look like an old one.
        long before = System.currentTimeMillis();
        while (System.currentTimeMillis() == before) {
            Thread.onSpinWait();
        }
        before = System.currentTimeMillis();
        String resumed = "full";
        try (SSLSocket s = (SSLSocket) context.getSocketFactory().createSocket(address, port)) {
            s.setSoTimeout(15_000);
            SSLParameters p = s.getSSLParameters();
            p.setServerNames(List.of(new SNIHostName(sni)));
            s.setSSLParameters(p);
            s.startHandshake();
            resumed = s.getSession().getCreationTime() < before ? "resumed" : "full";
            s.getOutputStream().write(("GET " + page + " HTTP/1.0\r\nHost: " + sni + "\r\n\r\n").getBytes());
            int n = s.getInputStream().readAllBytes().length;
            return (n > 0 ? "ok " : "failed ") + resumed + " " + s.getSession().getProtocol();
        } catch (IOException e) {
            return "failed " + resumed + " " + e;
        }
    }

    /** The server's certificate is not what the lab is about. */
    static class TrustAll extends X509ExtendedTrustManager {
        public void checkClientTrusted(X509Certificate[] c, String a) { }
        public void checkServerTrusted(X509Certificate[] c, String a) { }
        public void checkClientTrusted(X509Certificate[] c, String a, Socket s) { }
        public void checkServerTrusted(X509Certificate[] c, String a, Socket s) { }
        public void checkClientTrusted(X509Certificate[] c, String a, SSLEngine e) { }
        public void checkServerTrusted(X509Certificate[] c, String a, SSLEngine e) { }
        public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
    }
}
