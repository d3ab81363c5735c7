/** Where an aware server keeps births (Sparkplug 3.0, 10.1.4). */
const CERTIFICATES = "$sparkplug/certificates";
const BIRTH = /^spBv1\.0\/[^/]+\/(?:NBIRTH\/[^/]+|DBIRTH\/[^/]+\/[^/]+)$/;

/**
 * Where the last birth of an edge node or device is kept for those who come later; undefined for everything else. A death does not
 * take it away: the one who reads it subscribes to the deaths too.
 */
export function certificateTopic(topic: string): string | undefined {
  return BIRTH.test(topic) ? `${CERTIFICATES}/${topic}` : undefined;
}
